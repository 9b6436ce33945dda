"""The catalogue's rows written and read one at a time, for the HTTP API: each write is one statement."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, astuple, dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

import asyncpg

from connectors.postgres import (
    DRAFT_COLUMNS,
    ProductDraft,
    UnreadableRowError,
    product_from,
    read_times_as_microseconds,
)
from connectors.postgres_errors import source_errors
from schemas.errors import ErrorKind, SourceError
from schemas.product import COLUMNS, Product

VALUE_COLUMNS: tuple[str, ...] = DRAFT_COLUMNS[1:]
"""What a write may change: neither the key nor what is Postgres's own."""

Versions = Sequence[datetime | None] | None
"""The values of `updated_at` that a write is meant for, null among them; None stands for any."""

CLOSE_SECONDS = 1.0
"""What Postgres has, at the end, to let go of statements that were cancelled."""

_TRIES = 10
"""So often may others write between two statements of a write that found nothing to do."""


class Refusal(StrEnum):
    """Why a row was not written."""

    MISSING = "missing"
    EXISTS = "exists"
    CHANGED = "changed"
    """It is not of a version that the write is meant for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """The row after a write, and whether the write made it."""

    product: Product
    created: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Rows in bytewise order of their key. `after` is where the next page begins; None: this is the last."""

    products: Sequence[Product]
    unreadable: Sequence[UnreadableRowError] = ()
    after: str | None = None


class Catalogue:
    """Rows of `public.products` by their key, over a pool of connections that was opened by `open_catalogue`.

    A write moves `updated_at` forward, by a microsecond at least, wherever the clock stands: it is the row's version.
    A write that would change nothing writes nothing, so that no change is sent and the version stays. A write leaves a
    row that can be read: a time that no calendar holds is dropped.

    Every method raises `SourceError`: transient or an outage when Postgres is away, permanent when a constraint or a
    trigger of the table refuses the row; and `UnreadableRowError` for a row that a `Product` cannot hold.
    """

    def __init__(self, pool: asyncpg.Pool, *, acquire_seconds: float = 5.0) -> None:
        self._pool = pool
        self._acquire_seconds = acquire_seconds

    async def get(self, article_id: str) -> Product | None:
        """The row now; None when there is none."""
        row = await self._row("read a product", f"SELECT {_ROW} WHERE article_id = $1", article_id)
        return None if row is None else product_from(row)

    async def page(self, *, after: str = "", limit: int) -> Page:
        """At most `limit` rows whose key is greater than `after`, those that cannot be read counted and set aside."""
        query = f'SELECT {_ROW} WHERE article_id COLLATE "C" > $1 ORDER BY article_id COLLATE "C" LIMIT $2'
        with source_errors("read a page of products"):
            async with self._pool.acquire(timeout=self._acquire_seconds) as connection:
                rows = await connection.fetch(query, after, limit + 1)
        products, unreadable = [], []
        for row in rows[:limit]:
            try:
                products.append(product_from(row))
            except UnreadableRowError as error:
                unreadable.append(error)
        last = rows[limit - 1]["article_id"] if len(rows) > limit else None
        return Page(products=products, unreadable=unreadable, after=last)

    async def create(self, draft: ProductDraft) -> Written | Refusal:
        """Insert a row; `EXISTS` when its key has one."""
        row = await self._row("create a product", _CREATE, *astuple(draft))
        return Refusal.EXISTS if row is None else Written(product=product_from(row), created=True)

    async def put(self, draft: ProductDraft) -> Written:
        """Make the row what the draft says, whether it exists or not."""
        for _ in range(_TRIES):
            if row := await self._row("put a product", _PUT, *astuple(draft)):
                written = product_from({column: row[column] for column in COLUMNS})
                return Written(product=written, created=row["created"])
            # Nothing differed. Where it does by now, somebody wrote in between, and it is to be put after all.
            if (product := await self.get(draft.article_id)) and _has(product, asdict(draft)):
                return Written(product=product)
        raise _unmoved(draft.article_id)

    async def update(
        self, article_id: str, values: Mapping[str, Any], *, versions: Versions = None
    ) -> Written | Refusal:
        """Set some of `VALUE_COLUMNS` in a row that exists; `MISSING` or `CHANGED` when the write is not for it."""
        columns = [column for column in VALUE_COLUMNS if column in values]
        for _ in range(_TRIES):
            if columns:
                arguments = (article_id, versions, *(values[column] for column in columns))
                if row := await self._row("update a product", _update(columns), *arguments):
                    return Written(product=product_from(row))
            product = await self.get(article_id)
            if product is None:
                return Refusal.MISSING
            if versions is not None and product.updated_at not in versions:
                return Refusal.CHANGED
            # As in `put`: a row that was not there, and is there now, must not pass for one that was updated.
            if _has(product, values):
                return Written(product=product)
        raise _unmoved(article_id)

    async def delete(self, article_id: str, *, versions: Versions = None) -> Refusal | None:
        """Delete a row, readable or not; `MISSING` or `CHANGED` when it was not deleted."""
        query = f"DELETE FROM public.products AS present WHERE article_id = $1 AND {_IS_MEANT} RETURNING article_id"
        if await self._row("delete a product", query, article_id, versions):
            return None
        if versions is None:
            return Refusal.MISSING
        exists = await self._row(
            "look up a product", "SELECT article_id FROM public.products WHERE article_id = $1", article_id
        )
        return Refusal.CHANGED if exists else Refusal.MISSING

    async def _row(self, operation: str, query: str, *arguments: object) -> asyncpg.Record | None:
        with source_errors(operation):
            async with self._pool.acquire(timeout=self._acquire_seconds) as connection:
                return await connection.fetchrow(query, *arguments)


@asynccontextmanager
async def open_catalogue(
    dsn: str, *, max_connections: int = 10, timeout_seconds: float = 10.0
) -> AsyncIterator[Catalogue]:
    """A catalogue whose first statement connects, so that it opens while Postgres is away; closed at the end.

    `timeout_seconds` bounds each statement, half of it the way to the server and the wait for a free connection.
    """
    with source_errors("prepare connections to Postgres"):
        pool = await asyncpg.create_pool(
            dsn,
            min_size=0,
            max_size=max_connections,
            timeout=timeout_seconds / 2,
            command_timeout=timeout_seconds,
            init=read_times_as_microseconds,
        )
    try:
        yield Catalogue(pool, acquire_seconds=timeout_seconds / 2)
    finally:
        # Whoever waited for a write has gone: Postgres must hear of it, or the write is done once its row is free.
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await pool.close()  # cut short, it terminates the connections


_ROW = f"{', '.join(COLUMNS)} FROM public.products"
_RETURNED = ", ".join(f"present.{column}" for column in COLUMNS)
_INSERT = (
    f"INSERT INTO public.products AS present ({', '.join(DRAFT_COLUMNS)})"
    f" VALUES ({', '.join(f'${place}' for place in range(1, len(DRAFT_COLUMNS) + 1))})"
)
_CREATE = f"{_INSERT} ON CONFLICT (article_id) DO NOTHING RETURNING {_RETURNED}"

# Both infinities, and times outside the years 1 to 9999, are in no range of Python's. The last microsecond is left out,
# so that there is one after it.
_IN_CALENDAR = "BETWEEN '0001-01-01 00:00:00+00' AND '9999-12-31 23:59:59.999998+00'"
_TIMES = f"""
    created_at = CASE WHEN present.created_at {_IN_CALENDAR} THEN present.created_at END,
    updated_at = greatest(clock_timestamp(), CASE WHEN present.updated_at {_IN_CALENDAR}
                                             THEN present.updated_at + interval '1 microsecond' END)
"""
_NEEDS_MENDING = (
    f"NOT (coalesce(present.created_at {_IN_CALENDAR}, true) AND coalesce(present.updated_at {_IN_CALENDAR}, true))"
)
# array_position finds a null too.
_IS_MEANT = "($2::timestamptz[] IS NULL OR array_position($2::timestamptz[], present.updated_at) IS NOT NULL)"
# xmax is 0 in a row version that no transaction has replaced: the row was inserted, not updated.
_PUT = f"""
    {_INSERT}
    ON CONFLICT (article_id) DO UPDATE
    SET {", ".join(f"{column} = excluded.{column}" for column in VALUE_COLUMNS)}, {_TIMES}
    WHERE ({", ".join(f"present.{column}" for column in VALUE_COLUMNS)})
        IS DISTINCT FROM ({", ".join(f"excluded.{column}" for column in VALUE_COLUMNS)}) OR {_NEEDS_MENDING}
    RETURNING present.xmax = 0 AS created, {_RETURNED}
"""


def _unmoved(article_id: str) -> SourceError:
    return SourceError(
        f"cannot write product {article_id!r}: it stays as it is",
        kind=ErrorKind.PERMANENT,
        hint="see whether a trigger of the table suppresses the update",
    )


def _has(product: Product, values: Mapping[str, Any]) -> bool:
    return all(getattr(product, column) == value for column, value in values.items())


def _update(columns: Sequence[str]) -> str:
    """The statement that sets these columns from $3 on; the names are from `VALUE_COLUMNS`, never from a caller."""
    places = {column: f"${place}" for place, column in enumerate(columns, start=3)}
    # A price of NaN that is not replaced would leave a row that cannot be shown.
    readable = "true" if "price" in places else "present.price IS DISTINCT FROM 'NaN'"
    return f"""
        UPDATE public.products AS present
        SET {", ".join(f"{column} = {place}" for column, place in places.items())}, {_TIMES}
        WHERE article_id = $1 AND {_IS_MEANT} AND {readable}
            AND (({" OR ".join(f"present.{column} IS DISTINCT FROM {place}" for column, place in places.items())})
                 OR {_NEEDS_MENDING})
        RETURNING {_RETURNED}
    """
