"""How far the index may be behind Postgres, found out beside the searches."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol, TypeVar

from connectors.debezium.config import SLOT_NAME
from connectors.kafka import Watermarks
from ops.beside import beside
from schemas.errors import LockstepError
from streams.topics import APP_ID, PRODUCT_CHANGES

LOOK_EVERY_SECONDS = 1.0
MOST_MARKS = 120
"""Above it every other mark is forgotten: the further behind, the coarser the answer."""

logger = logging.getLogger(__name__)

T = TypeVar("T")


class Wal(Protocol):
    """What it asks of Postgres."""

    async def wal_position(self) -> str:
        """The end of the WAL now."""
        ...

    async def slot_confirmed(self, slot: str, position: str) -> bool | None:
        """Whether the slot's reader has confirmed everything up to a position."""
        ...


class Broker(Protocol):
    """What it asks of the broker."""

    async def watermarks(self, topic: str) -> Mapping[int, Watermarks]:
        """Low and high watermark of each partition."""
        ...

    async def committed(self, group: str, topic: str) -> Mapping[int, int]:
        """The next offset that the group reads, by partition."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _Captured:
    """Everything committed at `time` lies below these high watermarks."""

    time: float
    high: Mapping[int, int]


class Age(Protocol):
    """How far the index may be behind."""

    @property
    def seconds(self) -> float | None:
        """None while it is not known."""
        ...


class IndexAge:
    """An upper bound: every change that Postgres had committed this many seconds ago is in the index.

    It follows marks through the pipeline: the end of the WAL at a moment, until Debezium has confirmed it; then the
    high watermarks of the topic, until the worker has committed them. Debezium confirms in steps of a second or two,
    so that a change is in the index sooner than the bound says.
    """

    def __init__(self, wal: Wal, broker: Broker, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._wal = wal
        self._broker = broker
        self._clock = clock
        self._written: list[tuple[float, str]] = []
        self._captured: list[_Captured] = []
        self._applied: float | None = None
        self._answers = True

    @property
    def seconds(self) -> float | None:
        """The bound now; None until the first mark has come through, and while a part cannot be asked."""
        if self._applied is None or not self._answers:
            return None
        return max(0.0, self._clock() - self._applied)

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """Look once a second for as long as the block lasts."""
        async with beside(self._watch()):
            yield

    async def look(self) -> None:
        """Move the marks on. Raises `SourceError` or `BrokerError` when a part cannot be asked."""
        now = self._clock()
        self._written = _thinned([*self._written, (now, await self._wal.wal_position())])
        captured = None
        while self._written and await self._wal.slot_confirmed(SLOT_NAME, self._written[0][1]):
            captured, _ = self._written.pop(0)
        if captured is not None:
            marks = await self._broker.watermarks(PRODUCT_CHANGES)
            high = {partition: of.high for partition, of in marks.items()}
            self._captured = _thinned([*self._captured, _Captured(time=captured, high=high)])
        committed = await self._broker.committed(APP_ID, PRODUCT_CHANGES)
        reached = [mark.time for mark in self._captured if _reached(mark.high, committed)]
        if reached:
            self._applied = reached[-1]
            # Older ones too: marks of a topic that was made anew are never reached.
            self._captured = [mark for mark in self._captured if mark.time > reached[-1]]

    async def _watch(self) -> None:
        while True:
            try:
                await self.look()
            except LockstepError as error:
                if self._answers:
                    logger.warning("age of the index unknown", extra={"action": "age_unknown", "reason": str(error)})
                self._answers = False
            else:
                self._answers = True
            await asyncio.sleep(LOOK_EVERY_SECONDS)


def _reached(high: Mapping[int, int], committed: Mapping[int, int]) -> bool:
    return all(committed.get(partition, 0) >= mark for partition, mark in high.items())


def _thinned(marks: list[T]) -> list[T]:
    """The marks, oldest first; where they are too many every other one, the newest among them."""
    return marks if len(marks) <= MOST_MARKS else marks[::-2][::-1]
