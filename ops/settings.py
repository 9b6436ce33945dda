"""Every setting, read once in the composition root: `LOCKSTEP_<SYSTEM>_<NAME>`.

The environment wins over `.env`, which wins over `stack.env`, the addresses that a running `lockstep up` wrote.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from socket import gethostname
from typing import Annotated, Literal
from urllib.parse import urlsplit

from dotenv import dotenv_values
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

from ops.status.limits import Limits
from schemas.collection import WriteOrdering
from schemas.errors import SettingsError
from schemas.recipe import Recipe
from schemas.record import MAX_EPOCH, Place

PREFIX = "LOCKSTEP_"
DEFAULT_HOME = Path(".lockstep")

HttpAddress = Annotated[str, Field(pattern=r"^https?://[^/\s]+")]
Port = Annotated[int, Field(ge=1, le=65535)]
LimitsText = Annotated[str, AfterValidator(lambda text: Limits.parse(text) and text)]
_ORIGIN = r"https?://[A-Za-z0-9.\[\]:-]+"


class _Group(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class KafkaSettings(_Group):
    """`brokers` is a comma-separated list of host:port."""

    brokers: str = "127.0.0.1:9092"
    replication: int = Field(default=1, ge=1)


class SchemaRegistrySettings(_Group):
    """`url` is where `topics apply` registers the events' schemas; None: nowhere. It may hold a user and a password."""

    url: SecretStr | None = None

    @field_validator("url")
    @classmethod
    def _readable(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None and not re.match(r"(https?|mock)://[^/\s]+", url.get_secret_value()):
            raise ValueError("write http://host:port, or https://user:password@host:port")
        return url


class ConnectSettings(_Group):
    """Kafka Connect's REST, and how Connect itself reaches Postgres and Kafka where that differs from us."""

    url: HttpAddress = "http://127.0.0.1:8083"
    postgres_host: str | None = None
    postgres_port: Port | None = None
    kafka_brokers: str | None = None


class PostgresSettings(_Group):
    """`dsn` is the role `lockstep` of roles.sql."""

    dsn: SecretStr = SecretStr("postgresql://lockstep:change-me@127.0.0.1:5432/shop")

    @field_validator("dsn")
    @classmethod
    def _readable(cls, dsn: SecretStr) -> SecretStr:
        # Neither the value nor the parser's message may show: both can hold the password.
        try:
            parts = urlsplit(dsn.get_secret_value())
            readable = parts.scheme in ("postgresql", "postgres") and parts.port != 0 and not parts.fragment
        except ValueError:
            readable = False
        if not readable:
            raise ValueError(
                "write postgresql://user:password@host:port/database, with / ? # @ in the password as %2F %3F %23 %40"
            )
        return dsn


class QdrantSettings(_Group):
    """`timeout_seconds` bounds one request. `write_ordering` matters where a shard has replicas: docs/scaling.md."""

    url: HttpAddress = "http://127.0.0.1:6333"
    api_key: SecretStr | None = None
    alias: str = "products"
    timeout_seconds: float = Field(default=10.0, gt=0)
    write_ordering: WriteOrdering = "weak"


class EmbeddingSettings(_Group):
    """`model` is read where no collection exists yet: afterwards the collection's recipe says what embeds it."""

    model: str = Recipe().model
    threads: int | None = Field(default=None, ge=1)
    batch_size: int = Field(default=16, ge=1, le=1024)


class WorkerSettings(_Group):
    """`name` is this worker's static membership in the group: give each worker its own, and keep it over restarts.

    Without `fanout` it publishes nothing for other teams.
    `trail` is a file to which it appends a line for each record and what became of it; it grows for ever.
    """

    name: str = Field(default_factory=lambda: f"{gethostname()}-1", pattern=r"^[A-Za-z0-9._-]{1,100}$")
    batch_records: int = Field(default=400, ge=1, le=5000)
    batch_wait_seconds: float = Field(default=0.01, gt=0, le=10)
    session_timeout_seconds: float = Field(default=45.0, ge=6, le=300)
    web_host: str = "127.0.0.1"
    web_port: Port = 6066
    epoch: int = Field(default=0, ge=0, le=MAX_EPOCH)
    fanout: bool = True
    trail: Path | None = None


class ApiSettings(_Group):
    """`lockstep serve`: where it listens, who may call it, and what bounds a request.

    `host` must be a loopback address while `tokens_file` (None: `<home>/tokens.json`) holds no token. `cors_origins` is
    a comma-separated list of `https://host[:port]`. `request_seconds` bounds the arrival of a body, and then the
    answer; `rate_per_second` is for each token; `shutdown_seconds` is what requests in flight have at the end.
    """

    host: str = Field(default="127.0.0.1", min_length=1)
    port: Port = 8080
    tokens_file: Path | None = None
    cors_origins: str | None = Field(default=None, pattern=rf"^{_ORIGIN}(,\s*{_ORIGIN})*$")
    tls_certificate: Path | None = None
    tls_key: Path | None = Field(default=None, validate_default=True)
    request_bytes: int = Field(default=1024 * 1024, ge=1024)
    request_seconds: float = Field(default=15.0, gt=0, le=600)
    concurrency: int = Field(default=64, ge=1)
    rate_per_second: float = Field(default=100.0, gt=0)
    shutdown_seconds: float = Field(default=10.0, ge=0)

    @field_validator("tls_key")
    @classmethod
    def _together(cls, key: Path | None, info: ValidationInfo) -> Path | None:
        if (key is None) != (info.data.get("tls_certificate") is None):
            raise ValueError("a certificate and its key are set together")
        return key

    @property
    def allowed_origins(self) -> frozenset[str]:
        """`cors_origins`, parsed."""
        return frozenset(origin.strip() for origin in (self.cors_origins or "").split(",") if origin.strip())


class StatusSettings(_Group):
    """`lockstep status` and `GET /sync/status`: from which value on a number is `amber,red`; one number is amber alone.

    `workers` is a comma-separated list of the workers' pages, `http://host:port`. `lag_records` and `age_seconds` are
    for changes that wait, `held_seconds` for partitions that are held, `wal_bytes` for WAL that the slot holds back,
    `difference_rows` for rows in Postgres against points, `reconcile_hours` for the time since the last one. Each part
    has `timeout_seconds` to answer. A table above `exact_rows` is not counted, but estimated by Postgres's statistics.
    """

    workers: str | None = Field(default=None, pattern=r"^https?://[^/\s,]+/?(,\s*https?://[^/\s,]+/?)*$")
    timeout_seconds: float = Field(default=5.0, gt=0, le=60)
    lag_records: LimitsText = "1000,100000"
    age_seconds: LimitsText = "30,300"
    held_seconds: LimitsText = "0,10"
    wal_bytes: LimitsText = "1000000000,5000000000"
    dead_letters: LimitsText = "1,100"
    difference_rows: LimitsText = "10"
    reconcile_hours: LimitsText = "48"
    exact_rows: int = Field(default=1_000_000, ge=0)

    @property
    def worker_urls(self) -> tuple[str, ...]:
        """`workers`, parsed."""
        return tuple(url.strip().rstrip("/") for url in (self.workers or "").split(",") if url.strip())


class LogSettings(_Group):
    """`format` is `text` for people, `json` for machines, or `auto`: text on a terminal, JSON elsewhere."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    format: Literal["auto", "text", "json"] = "auto"

    @field_validator("level", mode="before")
    @classmethod
    def _any_case(cls, level: object) -> object:
        return level.upper() if isinstance(level, str) else level


class Settings(BaseSettings):
    """All of it, frozen. Build one with `load_settings`, or in a test with `Settings(_env_file=None, …)`."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter="_",
        env_nested_max_split=1,
        env_ignore_empty=True,
        frozen=True,
        extra="ignore",
    )

    kafka: KafkaSettings = KafkaSettings()
    schema_registry: SchemaRegistrySettings = SchemaRegistrySettings()
    connect: ConnectSettings = ConnectSettings()
    postgres: PostgresSettings = PostgresSettings()
    qdrant: QdrantSettings = QdrantSettings()
    embedding: EmbeddingSettings = EmbeddingSettings()
    worker: WorkerSettings = Field(default_factory=WorkerSettings)
    api: ApiSettings = ApiSettings()
    status: StatusSettings = StatusSettings()
    log: LogSettings = LogSettings()
    set_aside: str | None = Field(default=None, pattern=r"^[^\[\]@,]+\[\d+\]@\d+(,[^\[\]@,]+\[\d+\]@\d+)*$")
    """Places, as `topic[partition]@offset`, that the worker makes dead letters unread: the way out of an unknown error
    that one record brings about each time."""
    home: Path = DEFAULT_HOME
    """Where the stack without Docker and the demo keep their data, logs and reports."""

    @property
    def tokens_file(self) -> Path:
        """Where the tokens of the API are kept."""
        return self.api.tokens_file or self.home / "tokens.json"

    @property
    def set_aside_places(self) -> frozenset[Place]:
        """`set_aside`, parsed."""
        return frozenset(Place.parse(text.strip()) for text in (self.set_aside or "").split(",") if text)


def variable_names() -> list[str]:
    """Every environment variable that Lockstep reads, in the order of the groups."""
    return [name for name, _ in _variables()]


def _variables() -> Iterator[tuple[str, tuple[str, ...]]]:
    for name, field in Settings.model_fields.items():
        group = field.annotation
        if isinstance(group, type) and issubclass(group, BaseModel):
            for inner in group.model_fields:
                yield f"{PREFIX}{name}_{inner}".upper(), (name, inner)
        else:
            yield f"{PREFIX}{name}".upper(), (name,)


def stack_env_file(home: Path) -> Path:
    """The addresses of the stack without Docker that runs under `home`."""
    return home / "stack.env"


def load_settings() -> Settings:
    """Read the environment, `.env` and the running stack's addresses.

    Raises:
        SettingsError: A variable is unknown (the message names the nearest thing to do) or its value cannot be right.
    """
    home = Path(os.environ.get(f"{PREFIX}HOME") or dotenv_values(".env").get(f"{PREFIX}HOME") or DEFAULT_HOME)
    env_files = [path for path in (stack_env_file(home), Path(".env")) if path.is_file()]
    for path in env_files:
        if not os.access(path, os.R_OK):
            raise SettingsError(
                f"cannot read {path}, which belongs to another user", hint=f"run as that user, or set {PREFIX}HOME"
            )
    known = set(variable_names())
    given: dict[str, str] = {}
    for path in env_files:
        given |= {name: str(path) for name in dotenv_values(path) if name.upper().startswith(PREFIX)}
    given |= {name: "the environment" for name in os.environ if name.upper().startswith(PREFIX)}
    for name, where in sorted(given.items()):
        if name.upper() not in known:
            raise SettingsError(
                f"unknown setting {name} in {where}", hint=f"see .env.example for every {PREFIX} variable"
            )
    try:
        return Settings(_env_file=env_files)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        reason = problem["msg"].removeprefix("Value error, ")
        name = f"{PREFIX}{'_'.join(str(part) for part in problem['loc'])}".upper()
        raise SettingsError(
            f"setting {name} is wrong: {reason[0].lower()}{reason[1:]}", hint=f"see {name} in .env.example"
        ) from error
