"""Reads from Postgres's catalogs how a database is set up for capture; changes nothing."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg
import orjson

from connectors import postgres_catalogs as catalogs
from connectors.postgres_errors import source_errors

TABLE = "public.products"
SIGNAL_TABLE = "public.debezium_signal"
HEARTBEAT_TABLE = "public.debezium_heartbeat"

CAPTURE_ROLE = "debezium"

_CAPTURE_NEEDS = (
    ("SELECT", TABLE),
    *((privilege, SIGNAL_TABLE) for privilege in ("SELECT", "INSERT", "DELETE")),
    *((privilege, HEARTBEAT_TABLE) for privilege in ("SELECT", "UPDATE")),
)
_OUR_NEEDS = (
    *((privilege, TABLE) for privilege in ("SELECT", "INSERT", "UPDATE", "DELETE")),
    *((privilege, SIGNAL_TABLE) for privilege in ("SELECT", "INSERT")),
)
_SETTINGS = (
    "wal_level",
    "max_slot_wal_keep_size",
    "max_replication_slots",
    "max_wal_senders",
    "idle_replication_slot_timeout",
    "synchronized_standby_slots",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresSetup:
    """The server. `settings` are in Postgres's own units; one that this version does not have is absent."""

    version: int
    """As `server_version_num`: 180006 is 18.6."""
    database: str
    in_recovery: bool
    settings: Mapping[str, str]
    wal_position: int
    """The end of the WAL as a number: what Debezium calls an lsn."""
    clock_ahead_seconds: float
    """The server's clock less ours."""
    clock_unsure_seconds: float
    """By how much `clock_ahead_seconds` may be wrong."""
    senders: int
    standbys: int
    """Servers that stream the WAL physically, as far as they are connected."""
    other_slots: tuple["Slot", ...]
    oldest_transaction: "OldTransaction | None"
    signal_columns: Mapping[str, str]
    """Name to type; empty without the table."""
    heartbeat_written: bool | None
    """Whether the heartbeat row is there, or has ever been updated where we may not read it; None without the table."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """A replication slot. `held_bytes` is the WAL that is kept for it; what a version does not tell is None."""

    name: str
    physical: bool
    plugin: str | None
    database: str | None
    active: bool
    wal_status: str | None
    invalidation_reason: str | None
    failover: bool | None
    held_bytes: int | None
    safe_bytes: int | None
    """How much more WAL may be written before the slot is lost; None without a limit."""


@dataclass(frozen=True, slots=True)
class CaptureSlot:
    """The slot that Debezium reads."""

    slot: Slot


@dataclass(frozen=True, slots=True, kw_only=True)
class OldTransaction:
    """The transaction that has been open longest."""

    pid: int | None
    """None for a prepared one, whose name is `who`."""
    who: str
    state: str
    age_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column; `type` as Postgres writes it, without its modifier: `numeric`, `timestamp with time zone`."""

    name: str
    type: str
    not_null: bool
    generated: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TableSetup:
    """`public.products`."""

    kind: str
    """Postgres's letter: r is a table, p a partitioned one."""
    persistence: str
    """p is permanent, u unlogged."""
    replica_identity: str
    """d default, f full, i index, n nothing."""
    columns: tuple[Column, ...]
    key_is_unique: bool
    key_has_bytewise_index: bool
    row_security: bool
    rows_hidden_from: tuple[str, ...]
    """Roles whom row level security may hide rows from."""
    has_rows: bool | None
    """None where our role may not look."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """`operations` are those that it publishes; `tables` those in it, by schema and name."""

    name: str
    operations: frozenset[str]
    via_root: bool
    tables: frozenset[str]
    with_column_list: frozenset[str]
    with_row_filter: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """`lacks` are privileges that it needs, `excess` what it has and should not."""

    name: str
    exists: bool
    lacks: tuple[str, ...] = ()
    excess: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Roles:
    """Debezium's role, and ours."""

    capture: Role
    ours: Role


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseSetup:
    """All of it; a part is None where it does not exist."""

    server: PostgresSetup
    slot: CaptureSlot | None
    table: TableSetup | None
    publication: Publication | None
    roles: Roles


async def read_setup(dsn: str, *, slot: str, publication: str, timeout_seconds: float = 10.0) -> DatabaseSetup:
    """Read how the database is set up, as the role of the DSN sees it.

    Raises:
        SourceError: The server cannot be reached, or refuses.
    """
    with source_errors("read the setup of Postgres"):
        connection = await asyncpg.connect(dsn, timeout=timeout_seconds, command_timeout=timeout_seconds)
        try:
            slots = await _slots(connection)
            captured = slots.pop(slot, None)
            return DatabaseSetup(
                slot=CaptureSlot(captured) if captured else None,
                table=await _table(connection),
                publication=await _publication(connection, publication),
                roles=Roles(
                    await _role(connection, CAPTURE_ROLE, _CAPTURE_NEEDS),
                    await _role(connection, await connection.fetchval("SELECT current_user"), _OUR_NEEDS),
                ),
                server=await _server(connection, tuple(slots.values())),
            )
        finally:
            await connection.close(timeout=timeout_seconds)


async def _server(connection: asyncpg.Connection, other_slots: tuple[Slot, ...]) -> PostgresSetup:
    asked = time.time()
    clock = await connection.fetchval(catalogs.CLOCK)
    answered = time.time()
    row = await connection.fetchrow(catalogs.SERVER, list(_SETTINGS))
    oldest = await connection.fetchrow(catalogs.OLDEST_TRANSACTION)
    signal = await connection.fetch(catalogs.COLUMNS, SIGNAL_TABLE)
    return PostgresSetup(
        version=row["version"],
        database=row["database"],
        in_recovery=row["in_recovery"],
        settings=orjson.loads(row["settings"]),
        wal_position=row["wal_position"],
        clock_ahead_seconds=clock - (asked + answered) / 2,
        clock_unsure_seconds=(answered - asked) / 2,
        senders=row["senders"],
        standbys=row["standbys"],
        other_slots=other_slots,
        oldest_transaction=OldTransaction(**oldest) if oldest else None,
        signal_columns={column["name"]: column["type"] for column in signal},
        heartbeat_written=await _heartbeat_written(connection),
    )


async def _heartbeat_written(connection: asyncpg.Connection) -> bool | None:
    # roles.sql gives the row to Debezium alone: that it was ever updated shows in the statistics, which all may read.
    row = await connection.fetchrow(catalogs.HEARTBEAT, HEARTBEAT_TABLE)
    if row is None:
        return None
    if row["readable"]:
        return bool(await connection.fetchval(f"SELECT EXISTS (SELECT FROM {HEARTBEAT_TABLE} WHERE id = 1)"))
    return bool(row["updated"])


async def _slots(connection: asyncpg.Connection) -> dict[str, Slot]:
    slots: dict[str, Slot] = {}
    for row in await connection.fetch(catalogs.SLOTS):
        told: dict[str, Any] = orjson.loads(row["told"])
        slots[told["slot_name"]] = Slot(
            name=told["slot_name"],
            physical=told["slot_type"] == "physical",
            plugin=told["plugin"],
            database=told["database"],
            active=told["active"],
            wal_status=told["wal_status"],
            invalidation_reason=told.get("invalidation_reason"),
            failover=told.get("failover"),
            held_bytes=row["held_bytes"],
            safe_bytes=told.get("safe_wal_size"),
        )
    return slots


async def _table(connection: asyncpg.Connection) -> TableSetup | None:
    row = await connection.fetchrow(catalogs.TABLE, TABLE, CAPTURE_ROLE)
    if row is None:
        return None
    columns = tuple(Column(**column) for column in await connection.fetch(catalogs.COLUMNS, TABLE))
    readable = await connection.fetchval("SELECT has_table_privilege($1, 'SELECT')", TABLE)
    has_rows = await connection.fetchval(f"SELECT EXISTS (SELECT FROM {TABLE})") if readable else None
    return TableSetup(**row, columns=columns, has_rows=has_rows)


async def _publication(connection: asyncpg.Connection, name: str) -> Publication | None:
    row = await connection.fetchrow(catalogs.PUBLICATION, name)
    if row is None:
        return None
    return Publication(
        name=name,
        operations=frozenset(row["operations"]),
        via_root=row["via_root"],
        tables=frozenset(row["tables"]),
        with_column_list=frozenset(row["with_column_list"]),
        with_row_filter=frozenset(row["with_row_filter"]),
    )


async def _role(connection: asyncpg.Connection, name: str, needs: Sequence[tuple[str, str]]) -> Role:
    privileges, relations = zip(*needs, strict=True)
    row = await connection.fetchrow(catalogs.ROLE, name, privileges, relations)
    if row is None:
        return Role(name=name, exists=False)
    captures = name == CAPTURE_ROLE
    lacks = {
        "LOGIN": not row["rolcanlogin"],
        "CONNECT on the database": not row["connects"],
        "USAGE on schema public": not row["uses_schema"],
        "REPLICATION": captures and not (row["rolreplication"] or row["rolsuper"]),
        "membership in pg_monitor": not captures and not row["monitor"],
    }
    excess = {
        "SUPERUSER": row["rolsuper"],
        "REPLICATION": not captures and row["rolreplication"] and not row["rolsuper"],
        f"ownership of {TABLE}": row["owner"],
    }
    return Role(
        name=name,
        exists=True,
        lacks=(*(what for what, lacking in lacks.items() if lacking), *row["lacks"]),
        excess=(*(what for what, had in excess.items() if had), *row["attributes"]),
    )
