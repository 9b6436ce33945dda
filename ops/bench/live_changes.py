"""Changes rows at an even pace and looks in Qdrant, as a reader does, until each is there."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import count
from random import Random
from typing import Any

from qdrant_client import AsyncQdrantClient

from connectors.postgres import Postgres
from connectors.qdrant import open_client
from ops.settings import Settings
from ops.stores import open_rows
from schemas.document import PROVENANCE, point_id
from schemas.errors import BrokerError
from schemas.product import price_text

CHANGES_PER_SECOND = 10.0
TEXTS_AMONG = 5
"""Every fifth change is of the text too, and has to be embedded."""
LOOK_EVERY_SECONDS = 0.01
SHOWN_WITHIN_SECONDS = 60.0
CENTS = 10**9
"""Prices are drawn from so many, so that the one that is looked for was not there before."""

_CHANGE_PRICE = "UPDATE products SET price = $2, updated_at = now() WHERE article_id = $1"
_CHANGE_TEXT = "UPDATE products SET price = $2, updated_at = now(), name = name || ' II' WHERE article_id = $1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A change that a read has shown: whether its text had changed, when it was seen, and the point's provenance."""

    text: bool
    seen_at: float
    """Seconds since the epoch."""
    provenance: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Awaited:
    price: str
    text: bool
    committed: float


@dataclass(slots=True)
class LiveChanges:
    """Changes that are written at a rate, and looked for until a read through the alias shows them.

    The pace does not wait for Postgres. A row whose change is not shown yet is left alone; when every row waits, so
    does the writer.
    """

    rows: Postgres
    client: AsyncQdrantClient
    alias: str
    keys: list[str]
    """Those that may be changed now."""
    random: Random
    per_second: float = CHANGES_PER_SECOND
    milliseconds: list[float] = field(init=False, default_factory=list)
    """From Postgres's answer to each change until a read showed it, in the order they were shown."""
    shown: list[Shown] = field(init=False, default_factory=list)
    """In the same order."""
    _awaited: dict[str, _Awaited] = field(init=False, default_factory=dict)

    async def write(self, until: asyncio.Event) -> None:
        """Change one row after the other; when it returns, each is committed."""
        started = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for number in count(1):
                if until.is_set():
                    return
                if self.keys:
                    group.create_task(self._change(self._take_key(), text=number % TEXTS_AMONG == 0))
                await asyncio.sleep(max(0.0, started + number / self.per_second - time.monotonic()))

    def _take_key(self) -> str:
        place = self.random.randrange(len(self.keys))
        self.keys[place], self.keys[-1] = self.keys[-1], self.keys[place]
        return self.keys.pop()

    async def _change(self, key: str, *, text: bool) -> None:
        price = Decimal(self.random.randrange(CENTS)).scaleb(-2)
        await self.rows.execute(_CHANGE_TEXT if text else _CHANGE_PRICE, key, price)
        self._awaited[key] = _Awaited(price=price_text(price) or "", text=text, committed=time.monotonic())

    async def look(self, until: asyncio.Event) -> None:
        """Look for all that are awaited in one request, again and again, until told to end and none is left.

        Raises:
            BrokerError: One was not shown within a minute.
        """
        fields = ["price_text", PROVENANCE]
        while self._awaited or not until.is_set():
            ids = {point_id(key): key for key in self._awaited}
            points = await self.client.retrieve(self.alias, ids=list(ids), with_payload=fields) if ids else []
            now, clock = time.monotonic(), time.time()
            for point in points:
                key, payload = ids[str(point.id)], point.payload or {}
                awaited = self._awaited[key]
                if payload.get("price_text") == awaited.price:
                    del self._awaited[key]
                    self.keys.append(key)
                    self.milliseconds.append(round((now - awaited.committed) * 1000, 1))
                    self.shown.append(Shown(text=awaited.text, seen_at=clock, provenance=payload[PROVENANCE]))
            for key, awaited in self._awaited.items():
                if now - awaited.committed > SHOWN_WITHIN_SECONDS:
                    raise BrokerError(f"a change of {key} was not searchable after {SHOWN_WITHIN_SECONDS:.0f} s")
            await asyncio.sleep(LOOK_EVERY_SECONDS)


@asynccontextmanager
async def changing(settings: Settings, seed: int, per_second: float) -> AsyncIterator[LiveChanges]:
    """Changes go on for as long as the block lasts, and all are shown at its end; one seed for each block on a table.

    Raises:
        LockstepError: A part cannot be reached, or a change was not shown.
    """
    qdrant = settings.qdrant
    async with (
        open_rows(settings) as rows,
        open_client(qdrant.url, api_key=None, timeout_seconds=qdrant.timeout_seconds) as client,
    ):
        keys = [row.article_id async for page in rows.pages() for row in page]
        changes = LiveChanges(rows, client, qdrant.alias, keys, Random(seed), per_second)
        written, shown = asyncio.Event(), asyncio.Event()
        try:
            async with asyncio.TaskGroup() as group:
                writing = group.create_task(changes.write(written))
                group.create_task(changes.look(shown))
                yield changes
                written.set()
                await writing
                shown.set()
        except BaseExceptionGroup as errors:
            first: BaseException = errors
            while isinstance(first, BaseExceptionGroup):  # the writer has a group of its own
                first = first.exceptions[0]
            raise first from errors


@asynccontextmanager
async def live_changes(settings: Settings, seed: int) -> AsyncIterator[list[float]]:
    """`changing` ten rows a second; gives the milliseconds that each took to be shown.

    Raises:
        LockstepError: As for `changing`.
    """
    async with changing(settings, seed, CHANGES_PER_SECOND) as changes:
        yield changes.milliseconds
