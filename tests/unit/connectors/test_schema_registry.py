"""Schemas at a registry: the client's own mock, and a small server that answers as a real one would."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from pydantic import SecretStr

pytest.importorskip("authlib", reason="the extra `registry` is not installed")

from connectors.schema_registry import RegisterSchema, SchemaRegistry
from ops.commands.topics import register_schemas
from ops.settings import SchemaRegistrySettings, Settings
from schemas.contracts import contracts
from schemas.errors import BrokerError, ErrorKind
from streams.topics import EVENTS

SCHEMAS: dict[str, Any] = {"products.changed.v1": {"type": "object", "properties": {"a": {"type": "string"}}}}
SUBJECT = "products.changed.v1-value"
MORE: dict[str, Any] = {"products.changed.v1": {"type": "object", "properties": {"a": {}, "b": {"type": "string"}}}}


def test_a_schema_is_registered_once_and_again_when_it_changes() -> None:
    with SchemaRegistry("mock://") as registry:
        assert [change.subject for change in registry.apply(SCHEMAS)] == [SUBJECT]
        assert registry.apply(SCHEMAS) == []
        assert len(registry.apply(MORE)) == 1
        latest = registry._client.get_latest_version(SUBJECT)
        assert (latest.version, latest.schema.schema_type) == (2, "JSON")
        assert orjson.loads(latest.schema.schema_str) == MORE["products.changed.v1"]


def test_a_plan_registers_nothing() -> None:
    with SchemaRegistry("mock://") as registry:
        [planned] = registry.plan(SCHEMAS)
        assert str(planned) == f"register the schema of {SUBJECT}"
        assert registry.plan(SCHEMAS) == [planned]


def test_every_contract_is_taken() -> None:
    with SchemaRegistry("mock://") as registry:
        assert len(registry.apply(contracts())) == len(contracts())
        assert registry.plan(contracts()) == []


def test_topics_apply_registers_the_events_and_a_dry_run_only_names_them() -> None:
    settings = Settings(_env_file=None, schema_registry=SchemaRegistrySettings(url=SecretStr("mock://registry")))
    for dry_run in (True, False):
        assert [change.subject for change in register_schemas(settings, dry_run)] == [f"{t}-value" for t in EVENTS]


class FakeRegistry:
    """Knows no schema, and takes each until it is to refuse; what was asked of it stands in `asked`."""

    def __init__(self) -> None:
        self.refusal: tuple[int, str] | None = None
        self.asked: list[tuple[str, str, Any]] = []

    async def answer(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.asked.append((request.method, request.path, body))
        if self.refusal and request.path.endswith("/versions"):
            status, message = self.refusal
            return web.json_response({"error_code": status, "message": message}, status=status)
        if request.path.startswith("/config/"):
            return web.json_response(body)
        if request.path.endswith("/versions"):
            return web.json_response({"id": 1})
        return web.json_response({"error_code": 40401, "message": "no such subject"}, status=404)


@pytest.fixture
async def fake() -> AsyncIterator[tuple[FakeRegistry, str]]:
    registry = FakeRegistry()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", registry.answer)
    async with TestServer(app) as server:
        yield registry, str(server.make_url("/")).rstrip("/")


def apply(url: str) -> list[RegisterSchema]:
    with SchemaRegistry(url) as registry:
        return registry.apply(SCHEMAS)


async def test_an_added_field_must_not_break_who_reads_by_the_old_schema(fake: tuple[FakeRegistry, str]) -> None:
    registry, url = fake
    await asyncio.to_thread(apply, url)
    assert [(method, path) for method, path, _ in registry.asked] == [
        ("POST", f"/subjects/{SUBJECT}"),
        ("PUT", f"/config/{SUBJECT}"),
        ("POST", f"/subjects/{SUBJECT}/versions"),
    ]
    # A registry's BACKWARD would refuse every field that is added to a schema open to further ones, as ours are.
    assert registry.asked[1][2] == {"compatibility": "FORWARD"}
    assert registry.asked[2][2]["schemaType"] == "JSON"


@pytest.mark.parametrize(
    ("status", "hint"),
    [(409, "docs/events.md"), (401, "LOCKSTEP_SCHEMA_REGISTRY_URL"), (422, None)],
    ids=["incompatible", "not allowed", "not understood"],
)
async def test_a_refusal_is_an_outage_that_says_what_to_do(
    fake: tuple[FakeRegistry, str], status: int, hint: str | None
) -> None:
    registry, url = fake
    registry.refusal = (status, "because")
    with pytest.raises(BrokerError, match=f"cannot register the schema of {SUBJECT} at http.*: because") as caught:
        await asyncio.to_thread(apply, url)
    assert caught.value.kind is ErrorKind.OUTAGE
    assert (hint in caught.value.hint) if hint and caught.value.hint else hint is caught.value.hint


def test_a_registry_that_is_away_is_transient_and_shows_no_password(unused_tcp_port: int) -> None:
    with pytest.raises(BrokerError, match=f"cannot look up {SUBJECT} at 127.0.0.1:{unused_tcp_port}") as caught:
        apply(f"http://user:s3cret@127.0.0.1:{unused_tcp_port}")
    assert caught.value.kind is ErrorKind.TRANSIENT
    assert "s3cret" not in f"{caught.value}{caught.value.hint}"
