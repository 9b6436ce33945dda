"""Registers JSON Schemas at a schema registry, Confluent's or Redpanda's; needs the extra `registry`."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import httpx2  # type: ignore[import-not-found, unused-ignore]  # of an extra, which need not be installed
import orjson
from confluent_kafka.schema_registry import (
    ConfigCompatibilityLevel,
    Schema,
    SchemaRegistryClient,
    SchemaRegistryError,
    ServerConfig,
)

from schemas.errors import BrokerError, ErrorKind

REQUEST_TIMEOUT_SECONDS = 10.0
RETRIES = 1

# A field is only ever added, as an optional one. To a registry's BACKWARD that is an error, as long as a schema allows
# fields that it does not name: an old event might hold one of that name (confluentinc/schema-registry#1458). FORWARD
# asks what a subscriber asks: does the schema that I have read the events to come?
COMPATIBILITY = ConfigCompatibilityLevel.FORWARD

_NOT_FOUND = 404
_CONFLICT = 409
_NOT_ALLOWED = (401, 403)


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisterSchema:
    """A subject that lacks a schema, or has it in another version only."""

    subject: str
    schema: str

    def __str__(self) -> str:
        return f"register the schema of {self.subject}"


class SchemaRegistry:
    """One client of a registry; a context manager.

    Every method raises `BrokerError`: transient when the registry cannot be reached, an outage when it refuses.
    """

    def __init__(self, url: str) -> None:
        self._address = urlsplit(url)._replace(query="").geturl().rpartition("@")[2]  # a message shows no password
        self._client = SchemaRegistryClient.new_client(
            {"url": url, "timeout": REQUEST_TIMEOUT_SECONDS, "max.retries": RETRIES}
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def plan(self, schemas: Mapping[str, Mapping[str, Any]]) -> list[RegisterSchema]:
        """What `apply` would do for these topics' values: a subject is `<topic>-value`."""
        wanted = [
            RegisterSchema(subject=f"{topic}-value", schema=orjson.dumps(schema, option=orjson.OPT_SORT_KEYS).decode())
            for topic, schema in schemas.items()
        ]
        return [each for each in wanted if not self._is_registered(each)]

    def apply(self, schemas: Mapping[str, Mapping[str, Any]]) -> list[RegisterSchema]:
        """Register what is missing, each as a new version of its subject; gives what was done. Safe to repeat."""
        changes = self.plan(schemas)
        for change in changes:
            with self._errors(str(change)):
                self._client.set_config(change.subject, ServerConfig(compatibility=COMPATIBILITY))
                self._client.register_schema(change.subject, _json_schema(change))
        return changes

    def _is_registered(self, wanted: RegisterSchema) -> bool:
        with self._errors(f"look up {wanted.subject}"):
            try:
                self._client.lookup_schema(wanted.subject, _json_schema(wanted))
            except SchemaRegistryError as error:
                if error.http_status_code != _NOT_FOUND:
                    raise
                return False
        return True

    @contextmanager
    def _errors(self, operation: str) -> Iterator[None]:
        try:
            yield
        except httpx2.TransportError as error:
            raise BrokerError(
                f"cannot {operation} at {self._address}: {error}",
                kind=ErrorKind.TRANSIENT,
                hint="check LOCKSTEP_SCHEMA_REGISTRY_URL",
            ) from error
        except SchemaRegistryError as error:
            message = f"cannot {operation} at {self._address}: {error.error_message}"
            raise BrokerError(message, kind=ErrorKind.OUTAGE, hint=_hint(error.http_status_code)) from error


def _json_schema(wanted: RegisterSchema) -> Schema:
    return Schema(wanted.schema, schema_type="JSON")


def _hint(status: int) -> str | None:
    if status == _CONFLICT:
        return "publish what breaks subscribers under a new topic: docs/events.md"
    return "check user and password in LOCKSTEP_SCHEMA_REGISTRY_URL" if status in _NOT_ALLOWED else None
