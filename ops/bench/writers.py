"""Connections that change the catalogue in every way an application does, all at once, from a seed."""

import asyncio
from collections import Counter
from dataclasses import replace
from decimal import Decimal
from random import Random

import asyncpg

from connectors.postgres import DRAFT_COLUMNS, ProductDraft
from ops.demo.catalogue import generate_products
from ops.devstack.stack import all_at_once

WRITERS = 4
KEYS = 1200
FIRST_ROWS = 600
LARGE_TRANSACTION_ROWS = 300
BIG_DESCRIPTION_BYTES = 90_000
RECONNECT_SECONDS = 0.5

KINDS = {
    "price": 34,
    "text": 22,
    "insert": 14,
    "delete": 9,
    "reinsert": 5,
    "key_change": 4,
    "several": 6,
    "rollback": 3,
    "big_description": 2,
    "large_transaction": 1,
}
"""What a transaction does, and how often. `large_transaction` holds more rows than a batch of the worker."""

_COLUMNS = ", ".join(DRAFT_COLUMNS)
_PLACES = ", ".join(f"${number}" for number in range(1, len(DRAFT_COLUMNS) + 1))
_INSERT = f"INSERT INTO products ({_COLUMNS}) VALUES ({_PLACES}) ON CONFLICT (article_id) DO NOTHING"
_TEXT = "UPDATE products SET name = $2, description = $3, updated_at = now() WHERE article_id = $1"
_PRICE = "UPDATE products SET price = $2, updated_at = now() WHERE article_id = $1"
_PRICES = "UPDATE products SET price = $2, updated_at = now() WHERE article_id = ANY($1)"
_DELETE = "DELETE FROM products WHERE article_id = $1"
_RENAME = (
    "UPDATE products SET article_id = $2, updated_at = now() "
    "WHERE article_id = $1 AND NOT EXISTS (SELECT FROM products WHERE article_id = $2)"
)
_CONNECTION_BROKE = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # it broke in the middle of a statement
    asyncpg.OperatorInterventionError,  # the server is stopping or starting
)


class _RolledBackError(Exception):
    """Thrown on purpose, so that a transaction ends without effect."""


class Writers:
    """Writers that share one set of keys, so that they meet at the same rows.

    `transactions` counts by kind what Postgres confirmed; one whose connection broke may have been committed too.
    """

    def __init__(self, dsn: str, seed: int, *, per_second: float) -> None:
        self.transactions: Counter[str] = Counter()
        self._dsn = dsn
        self._seed = seed
        self._pause_seconds = WRITERS / per_second
        self._drafts = list(generate_products(KEYS, seed=seed))

    @property
    def keys(self) -> list[str]:
        """Every key that a writer may touch."""
        return [draft.article_id for draft in self._drafts]

    async def load_first_rows(self) -> None:
        """Insert the rows that are there before capture starts."""
        connection = await asyncpg.connect(self._dsn, timeout=10)
        try:
            await connection.executemany(_INSERT, [_values(draft) for draft in self._drafts[:FIRST_ROWS]])
        finally:
            await connection.close(timeout=10)

    async def run(self) -> None:
        """Write until cancelled; a connection that breaks is opened again."""
        await all_at_once(self._write(Random(f"{self._seed}/{number}")) for number in range(WRITERS))

    async def _write(self, random: Random) -> None:
        while True:
            try:
                connection = await asyncpg.connect(self._dsn, timeout=10, command_timeout=20)
                try:
                    while True:
                        await self._transact(connection, random)
                        await asyncio.sleep(random.expovariate(1 / self._pause_seconds))
                finally:
                    connection.terminate()
            except _CONNECTION_BROKE:
                await asyncio.sleep(RECONNECT_SECONDS)

    async def _transact(self, connection: asyncpg.Connection, random: Random) -> None:
        [kind] = random.choices(list(KINDS), list(KINDS.values()))
        try:
            async with connection.transaction():
                await self._change(connection, kind, random)
                if kind == "rollback":
                    raise _RolledBackError
        except _RolledBackError:
            pass
        except (asyncpg.DeadlockDetectedError, asyncpg.UniqueViolationError):
            kind = "refused"  # writers met at the same rows
        self.transactions[kind] += 1

    async def _change(self, connection: asyncpg.Connection, kind: str, random: Random) -> None:
        draft = random.choice(self._drafts)
        key = draft.article_id
        match kind:
            case "price" | "rollback":
                await connection.execute(_PRICE, key, _price(random))
            case "text":
                other = random.choice(self._drafts)
                await connection.execute(_TEXT, key, other.name, other.description)
            case "insert":
                await connection.execute(_INSERT, *_values(draft))
            case "delete":
                await connection.execute(_DELETE, key)
            case "reinsert":
                await connection.execute(_DELETE, key)
                await connection.execute(_INSERT, *_values(replace(draft, price=_price(random))))
            case "key_change":
                await connection.execute(_RENAME, key, random.choice(self._drafts).article_id)
            case "several":
                for one in random.sample(["price", "text", "insert", "delete", "price"], 5):
                    await self._change(connection, one, random)
            case "big_description":
                description = f"{random.random()} " + "long and soft, " * (BIG_DESCRIPTION_BYTES // 15)
                await connection.execute(_TEXT, key, draft.name, description)
                await connection.execute(_PRICE, key, _price(random))
            case "large_transaction":
                keys = random.sample(self.keys, LARGE_TRANSACTION_ROWS)
                await connection.execute(_PRICES, keys, _price(random))


def _values(draft: ProductDraft) -> list[object]:
    return [getattr(draft, column) for column in DRAFT_COLUMNS]


def _price(random: Random) -> Decimal:
    return Decimal(random.randrange(100, 20_000)) / 100
