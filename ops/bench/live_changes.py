"""Changes rows at an even pace and looks in Qdrant, as a reader does, until each is there."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import count
from random import Random

from qdrant_client import AsyncQdrantClient

from connectors.postgres import Postgres
from connectors.qdrant import open_client
from ops.settings import Settings
from ops.stores import open_rows
from schemas.document import point_id
from schemas.errors import BrokerError

CHANGES_PER_SECOND = 10.0
TEXTS_AMONG = 5
"""Every fifth change is of the text too, and has to be embedded."""
LOOK_EVERY_SECONDS = 0.01
SHOWN_WITHIN_SECONDS = 60.0

_CHANGE_PRICE = "UPDATE products SET price = $2, updated_at = now() WHERE article_id = $1"
_CHANGE_TEXT = "UPDATE products SET price = $2, updated_at = now(), name = name || ' II' WHERE article_id = $1"


@dataclass(slots=True)
class LiveChanges:
    """Milliseconds from the commit of a change until a read through the alias shows it, in the order they were shown.

    The look goes by the price, which no two changes share.
    """

    rows: Postgres
    client: AsyncQdrantClient
    alias: str
    keys: list[str]
    random: Random
    milliseconds: list[float] = field(init=False, default_factory=list)
    _waiting: dict[str, tuple[str, float]] = field(init=False, default_factory=dict)

    async def write(self, until: asyncio.Event) -> None:
        """Change one row after the other; a row whose change is not shown yet is left alone."""
        started = time.monotonic()
        for number in count(1):
            if until.is_set():
                return
            key = self.random.choice([key for key in self.random.sample(self.keys, 50) if key not in self._waiting])
            statement = _CHANGE_PRICE if number % TEXTS_AMONG else _CHANGE_TEXT
            price = f"{10_000 + number}.25"
            await self.rows.execute(statement, key, Decimal(price))
            self._waiting[key] = (price, time.monotonic())
            await asyncio.sleep(max(0.0, started + number / CHANGES_PER_SECOND - time.monotonic()))

    async def look(self, until: asyncio.Event) -> None:
        """Look for all that are awaited in one request, again and again, until told to end and none is left.

        Raises:
            BrokerError: One was not shown within a minute.
        """
        while self._waiting or not until.is_set():
            ids = {point_id(key): key for key in self._waiting}
            points = await self.client.retrieve(self.alias, ids=list(ids), with_payload=["price_text"]) if ids else []
            now = time.monotonic()
            for point in points:
                key = ids[str(point.id)]
                price, committed = self._waiting[key]
                if (point.payload or {}).get("price_text") == price:
                    del self._waiting[key]
                    self.milliseconds.append(round((now - committed) * 1000, 1))
            for key, (_, committed) in self._waiting.items():
                if now - committed > SHOWN_WITHIN_SECONDS:
                    raise BrokerError(f"a change of {key} was not searchable after {SHOWN_WITHIN_SECONDS:.0f} s")
            await asyncio.sleep(LOOK_EVERY_SECONDS)


@asynccontextmanager
async def live_changes(settings: Settings, seed: int) -> AsyncIterator[list[float]]:
    """Changes go on for as long as the block lasts, and all are shown at its end; gives their milliseconds.

    Raises:
        LockstepError: A part cannot be reached, or a change was not shown.
    """
    qdrant = settings.qdrant
    async with (
        open_rows(settings) as rows,
        open_client(qdrant.url, api_key=None, timeout_seconds=qdrant.timeout_seconds) as client,
    ):
        keys = [row.article_id async for page in rows.pages() for row in page]
        changes = LiveChanges(rows, client, qdrant.alias, keys, Random(seed))
        written, shown = asyncio.Event(), asyncio.Event()
        try:
            async with asyncio.TaskGroup() as group:
                writing = group.create_task(changes.write(written))
                group.create_task(changes.look(shown))
                yield changes.milliseconds
                written.set()
                await writing
                shown.set()
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from errors
