"""The catalogue in Postgres: rows read one by one, in pages or by key, and rows written in bulk."""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import astuple, dataclass, fields
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import islice
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

import asyncpg

from connectors.debezium.signals import EXECUTE_SNAPSHOT, snapshot_signals
from connectors.postgres_errors import source_errors
from schemas.errors import ErrorKind, SourceError
from schemas.product import COLUMNS, Product

COPY_BATCH_ROWS = 10_000
CONNECT_SECONDS = 10.0

_POSTGRES_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_SELECT = f"SELECT {', '.join(COLUMNS)} FROM public.products"
# Bytewise whatever the database's locale is; the column has this collation too, so its unique index gives the order.
_ORDER = 'article_id COLLATE "C"'


@dataclass(frozen=True, slots=True, kw_only=True)
class ProductDraft:
    """A row before Postgres gives it an id and its times."""

    article_id: str
    name: str
    description: str | None = None
    product_type: str | None = None
    product_group: str | None = None
    color: str | None = None
    department: str | None = None
    index_name: str | None = None
    image_url: str | None = None
    price: Decimal | None = None


DRAFT_COLUMNS: tuple[str, ...] = tuple(field.name for field in fields(ProductDraft))


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """How many rows `store_products` inserted, changed, and left as they were, repeated keys among the last."""

    inserted: int = 0
    updated: int = 0
    unchanged: int = 0

    def __add__(self, other: "Stored") -> "Stored":
        return Stored(
            inserted=self.inserted + other.inserted,
            updated=self.updated + other.updated,
            unchanged=self.unchanged + other.unchanged,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotState:
    """A replication slot: how far its reader has confirmed, how much WAL lies beyond that, whether it is being read."""

    confirmed: str | None
    lag_bytes: int | None
    active: bool
    wal_status: str | None
    """Postgres's word: `lost` means that WAL it needs is gone."""
    held_back_bytes: int | None = None
    """The WAL that Postgres keeps on its disk for it: from the oldest transaction on that may have to be read again."""
    safe_wal_bytes: int | None = None
    """WAL that may be written until the slot is lost; None where max_slot_wal_keep_size does not bound it."""


class UnreadableRowError(SourceError):
    """A row that exists and that a `Product` cannot hold: a price of NaN, a time of infinity or beyond year 9999."""

    default_kind = ErrorKind.PERMANENT

    def __init__(self, article_id: str, reason: str) -> None:
        super().__init__(
            f"cannot read row {article_id}: {reason}", hint="mend the row in Postgres; docs/catalogue.md has the limits"
        )
        self.article_id = article_id
        self.reason = reason


class Postgres:
    """A pool of connections to the catalogue's database.

    Every method raises `SourceError`: transient, an outage that concerns every row, or permanent. A row that cannot be
    read raises `UnreadableRowError`; the methods that read many rows append it to `unreadable` instead, when a list
    is given, so that one bad row does not hide the others and is not mistaken for a row that is gone.
    """

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    @classmethod
    async def connect(
        cls, dsn: str, *, max_connections: int = 4, timeout_seconds: float = 60.0, connect_now: bool = True
    ) -> Self:
        """Open the pool; `timeout_seconds` bounds each statement, and 10 s the way to the server.

        Without `connect_now` the first statement connects, so that it works while Postgres is away.
        """
        with source_errors("connect to Postgres"):
            pool = await asyncpg.create_pool(
                dsn,
                min_size=1 if connect_now else 0,
                max_size=max_connections,
                timeout=CONNECT_SECONDS,
                command_timeout=timeout_seconds,
                init=read_times_as_microseconds,
            )
        return cls(pool)

    def _acquire(self) -> Any:
        """A connection of the pool. The time-out bounds its return too, which a hanging server would hold for ever."""
        return self._pool.acquire(timeout=CONNECT_SECONDS)

    async def _fetch(self, query: str, *values: object) -> list[asyncpg.Record]:
        async with self._acquire() as connection:
            found: list[asyncpg.Record] = await connection.fetch(query, *values)
            return found

    async def _fetchrow(self, query: str, *values: object) -> asyncpg.Record | None:
        rows = await self._fetch(query, *values)
        return rows[0] if rows else None

    async def _fetchval(self, query: str, *values: object) -> Any:
        [row] = await self._fetch(query, *values)
        return row[0]

    async def close(self) -> None:
        """Close the pool at once, with whatever still runs on it."""
        self._pool.terminate()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def fetch_row(self, article_id: str) -> Product | None:
        """The row now, or None when there is none."""
        with source_errors(f"read row {article_id!r}"):
            row = await self._fetchrow(f"{_SELECT} WHERE article_id = $1", article_id)
        return None if row is None else product_from(row)

    async def fetch_rows(
        self, article_ids: Sequence[str], unreadable: list[UnreadableRowError] | None = None
    ) -> dict[str, Product]:
        """Those of the rows that exist, by article_id, of one moment."""
        with source_errors("read rows by article_id"):
            rows = await self._fetch(f"{_SELECT} WHERE article_id = ANY($1::text[])", list(article_ids))
        return {product.article_id: product for product in _products(rows, unreadable)}

    async def pages(
        self, after: str = "", limit: int = 1000, unreadable: list[UnreadableRowError] | None = None
    ) -> AsyncIterator[list[Product]]:
        """Every row whose article_id is greater than `after`, in bytewise order, in lists of at most `limit` rows.

        Each page is its own statement, so a page shows the rows of the moment it is read, and no transaction stays
        open in between. Empty pages are left out; a row inserted behind the reader is not seen.
        """
        query = f"{_SELECT} WHERE {_ORDER} > $1 ORDER BY {_ORDER} LIMIT $2"
        while True:
            with source_errors(f"read the page of rows after {after!r}"):
                rows = await self._fetch(query, after, limit)
            if page := _products(rows, unreadable):
                yield page
            if len(rows) < limit:
                return
            after = rows[-1]["article_id"]

    async def sample_keys(self, share: float) -> list[str]:
        """The keys of about that share of the rows, each drawn by itself; all of them are held in memory."""
        query = "SELECT article_id FROM public.products TABLESAMPLE BERNOULLI ($1)"
        with source_errors("draw a sample of rows"):
            return [row[0] for row in await self._fetch(query, share * 100)]

    async def execute(self, statement: str, *values: object) -> None:
        """Run one statement of the caller's own in its own transaction."""
        with source_errors("run a statement"):
            async with self._acquire() as connection:
                await connection.execute(statement, *values)

    @asynccontextmanager
    async def alone(self, what: str) -> AsyncIterator[bool]:
        """Hold the advisory lock of this name for the block; gives False where another session holds it.

        It goes with the connection, so that no killed process leaves it behind.
        """
        with source_errors(f"lock {what}"):
            connection = await self._acquire()
        try:
            with source_errors(f"lock {what}"):
                held = await connection.fetchval("SELECT pg_try_advisory_lock(hashtextextended($1, 0))", what)
            yield bool(held)
        finally:
            with source_errors(f"unlock {what}"):
                await self._pool.release(connection)  # which unlocks

    async def count(self) -> int:
        """How many rows there are now, counted one by one."""
        with source_errors("count rows"):
            return int(await self._fetchval("SELECT count(*) FROM public.products"))

    async def estimated_count(self) -> int | None:
        """How many rows there were when Postgres last looked, at no cost; None before it has looked."""
        query = "SELECT reltuples::bigint FROM pg_class WHERE oid = 'public.products'::regclass"
        with source_errors("estimate rows"):
            found = int(await self._fetchval(query))
        return None if found < 0 else found

    async def existing_keys(self, article_ids: Sequence[str]) -> set[str]:
        """Those of the keys that have a row, readable or not."""
        query = "SELECT article_id FROM public.products WHERE article_id = ANY($1::text[])"
        with source_errors("look up keys"):
            return {row[0] for row in await self._fetch(query, list(article_ids))}

    async def wal_position(self) -> str:
        """The end of the WAL now, as Postgres writes it: `0/1B5FAC0`."""
        with source_errors("read the WAL's position"):
            return str(await self._fetchval("SELECT pg_current_wal_lsn()::text"))

    async def slot_confirmed(self, slot: str, position: str) -> bool | None:
        """Whether the slot's reader has confirmed everything up to a WAL position; None when there is no such slot."""
        query = "SELECT confirmed_flush_lsn >= $2::text::pg_lsn FROM pg_replication_slots WHERE slot_name = $1"
        with source_errors(f"read replication slot {slot}"):
            row = await self._fetchrow(query, slot, position)
        return None if row is None else bool(row[0])

    async def slot_state(self, slot: str) -> SlotState | None:
        """How a replication slot stands; None when there is none."""
        query = """
            SELECT confirmed_flush_lsn::text, pg_wal_lsn_diff(pg_current_wal_lsn(), confirmed_flush_lsn)::bigint,
                   active, wal_status, pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)::bigint, safe_wal_size
            FROM pg_replication_slots WHERE slot_name = $1
        """
        with source_errors(f"read replication slot {slot}"):
            row = await self._fetchrow(query, slot)
        if row is None:
            return None
        confirmed, lag_bytes, active, wal_status, held_back_bytes, safe_wal_bytes = row
        return SlotState(
            confirmed=confirmed,
            lag_bytes=lag_bytes,
            active=active,
            wal_status=wal_status,
            held_back_bytes=held_back_bytes,
            safe_wal_bytes=safe_wal_bytes,
        )

    async def signal_snapshot(self, article_ids: Sequence[str]) -> None:
        """Ask Debezium to read these rows again; it does so once it meets the signals in the WAL.

        Each row that exists then comes as a snapshot read; a key without a row gives nothing.
        """
        signals = [(f"lockstep-{uuid4()}", EXECUTE_SNAPSHOT, data) for data in snapshot_signals(article_ids)]
        query = "INSERT INTO public.debezium_signal (id, type, data) VALUES ($1, $2, $3)"
        with source_errors("signal an incremental snapshot"):
            async with self._acquire() as connection:
                await connection.executemany(query, signals)

    async def copy_products(self, drafts: Iterable[ProductDraft]) -> int:
        """COPY new rows in batches of 10,000, each its own transaction; gives their number.

        The fastest way in. A key that exists already is a permanent error, and its batch is not written.
        """
        copied = 0
        remaining = iter(drafts)
        while batch := [astuple(draft) for draft in islice(remaining, COPY_BATCH_ROWS)]:
            with source_errors("copy rows into products", hint="load rows that may exist with `lockstep demo load`"):
                async with self._acquire() as connection:
                    await connection.copy_records_to_table(
                        "products", schema_name="public", columns=DRAFT_COLUMNS, records=batch
                    )
            copied += len(batch)
        return copied

    async def store_products(self, drafts: Sequence[ProductDraft], *, update: bool) -> Stored:
        """Insert rows in one transaction; where the key exists, leave the row alone, or `update` it.

        An update that would change nothing writes nothing, and so sends no change. When a key stands in `drafts` twice
        the first counts, with `update` the last.
        """
        records = [(place, *astuple(draft)) for place, draft in enumerate(drafts)]
        with source_errors("store rows in products"):
            async with self._acquire() as connection, connection.transaction():
                await connection.execute(_STAGING)
                await connection.copy_records_to_table("incoming", columns=("place", *DRAFT_COLUMNS), records=records)
                written = await connection.fetch(_UPSERT if update else _INSERT)
        inserted = sum(row["inserted"] for row in written)
        updated = len(written) - inserted
        return Stored(inserted=inserted, updated=updated, unchanged=len(records) - len(written))


_COLUMN_LIST = ", ".join(DRAFT_COLUMNS)
_VALUE_COLUMNS = DRAFT_COLUMNS[1:]
_STAGING = f"""
    CREATE TEMPORARY TABLE incoming ON COMMIT DROP AS
    SELECT 0 AS place, {_COLUMN_LIST} FROM public.products WITH NO DATA
"""
_INSERT = f"""
    INSERT INTO public.products ({_COLUMN_LIST})
    SELECT DISTINCT ON (article_id) {_COLUMN_LIST} FROM incoming ORDER BY article_id, place
    ON CONFLICT (article_id) DO NOTHING
    RETURNING true AS inserted
"""
# xmax is 0 in a row version that no transaction has replaced: the row was inserted, not updated.
_UPSERT = f"""
    INSERT INTO public.products AS old ({_COLUMN_LIST})
    SELECT DISTINCT ON (article_id) {_COLUMN_LIST} FROM incoming ORDER BY article_id, place DESC
    ON CONFLICT (article_id) DO UPDATE
    SET {", ".join(f"{column} = excluded.{column}" for column in _VALUE_COLUMNS)}, updated_at = now()
    WHERE ({", ".join(f"old.{column}" for column in _VALUE_COLUMNS)})
        IS DISTINCT FROM ({", ".join(f"excluded.{column}" for column in _VALUE_COLUMNS)})
    RETURNING xmax = 0 AS inserted
"""


async def read_times_as_microseconds(connection: asyncpg.Connection) -> None:
    """Prepare a connection for `product_from`."""
    # asyncpg's own decoder fails the whole statement on a year beyond 9999 or before Christ, and gives infinity as
    # datetime.max: one such row would hide every row beside it.
    await connection.set_type_codec(
        "timestamptz",
        schema="pg_catalog",
        format="tuple",
        encoder=lambda moment: ((moment - _POSTGRES_EPOCH) // timedelta(microseconds=1),),
        decoder=lambda value: value[0],
    )


def _products(rows: Iterable[asyncpg.Record], unreadable: list[UnreadableRowError] | None) -> list[Product]:
    products = []
    for row in rows:
        try:
            products.append(product_from(row))
        except UnreadableRowError as error:
            if unreadable is None:
                raise
            unreadable.append(error)
    return products


def product_from(row: Mapping[str, Any]) -> Product:
    """A row of the table as asyncpg gives it, its times in microseconds since 2000. Raises `UnreadableRowError`."""
    values = dict(row)
    article_id = values["article_id"]
    price = values["price"]
    if price is not None and not price.is_finite():
        raise UnreadableRowError(article_id, f"price is {price}")
    for column in ("created_at", "updated_at"):
        if (microseconds := values[column]) is not None:
            values[column] = _moment(article_id, column, microseconds)
    return Product(**values)


def _moment(article_id: str, column: str, microseconds: int) -> datetime:
    """Microseconds since 2000; both infinities are the ends of the 64-bit range, and so out of range too."""
    try:
        return _POSTGRES_EPOCH + timedelta(microseconds=microseconds)
    except OverflowError as error:
        raise UnreadableRowError(article_id, f"{column} is infinite, or outside the years 1 to 9999") from error
