"""How far a worker is behind in each of its partitions, found out beside its work."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from schemas.errors import LockstepError
from streams.topics import APP_ID, PRODUCT_CHANGES

logger = logging.getLogger(__name__)

LOOK_EVERY_SECONDS = 2.0
UNKNOWN_AFTER_SECONDS = 30.0
"""What was seen longer ago says nothing of now: an old lag of zero would hide a growing one."""
MOST_MARKS = 120
"""Above it every other mark is forgotten: the further behind, the coarser the age."""


class Watermark(Protocol):
    """How far a partition reaches."""

    @property
    def low(self) -> int:
        """The first retained offset."""
        ...

    @property
    def high(self) -> int:
        """One past the newest."""
        ...


class Broker(Protocol):
    """What it asks of the broker; each raises `BrokerError`."""

    async def watermarks(self, topic: str) -> Mapping[int, Watermark]:
        """Low and high watermark of each partition."""
        ...

    async def committed(self, group: str, topic: str) -> Mapping[int, int]:
        """The next offset that the group reads, by partition."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionLag:
    """A partition of this worker; what is None could not be asked yet."""

    partition: int
    committed: int | None = None
    high_watermark: int | None = None
    lag_records: int | None = None
    lag_seconds: float | None = None
    """The age of the oldest record that is not committed; 0 without one."""


@dataclass(slots=True, kw_only=True)
class LagWatch:
    """Looks every two seconds; a lag is not known while the broker has not answered for half a minute.

    A record that waits is as old as it says itself, once the worker has it in hand. Until then it is at least as old as
    the first look that saw it: a backlog from before the worker's start shows its age with its first batch.
    """

    broker: Broker
    in_progress: Callable[[], Mapping[int, int]]
    """When the first record in hand was written, in ms since the epoch, by partition."""
    clock: Callable[[], float] = time.time
    _committed: dict[int, int] = field(init=False, default_factory=dict)
    _marks: dict[int, list[tuple[float, int]]] = field(init=False, default_factory=dict)
    _looked_at: float = field(init=False, default=float("-inf"))

    def of(self, partitions: frozenset[int]) -> list[PartitionLag]:
        """The lag of these partitions, as far as it is known."""
        return [self._of(partition) for partition in sorted(partitions)]

    async def keep(self) -> None:
        """Look until cancelled."""
        answers = True
        while True:
            try:
                await self.look()
            except LockstepError as error:
                if answers:
                    logger.warning("lag unknown", extra={"action": "lag_unknown", "reason": str(error)})
                answers = False
            else:
                answers = True
            await asyncio.sleep(LOOK_EVERY_SECONDS)

    async def look(self) -> None:
        """Ask the broker. Raises `BrokerError`."""
        # First: a commit between the two would lie past the watermark.
        committed = await self.broker.committed(APP_ID, PRODUCT_CHANGES)
        marks = await self.broker.watermarks(PRODUCT_CHANGES)
        now = self._looked_at = self.clock()
        self._committed = {partition: committed.get(partition, mark.low) for partition, mark in marks.items()}
        self._marks = {
            partition: _thinned([*self._waiting(partition), (now, mark.high)]) for partition, mark in marks.items()
        }

    def _of(self, partition: int) -> PartitionLag:
        marks = self._marks.get(partition)
        if not marks or self.clock() - self._looked_at > UNKNOWN_AFTER_SECONDS:
            return PartitionLag(partition=partition)
        committed, high = self._committed[partition], marks[-1][1]
        return PartitionLag(
            partition=partition,
            committed=committed,
            high_watermark=high,
            lag_records=max(0, high - committed),
            lag_seconds=self._seconds(partition),
        )

    def _seconds(self, partition: int) -> float:
        seen = [time for time, _ in self._waiting(partition)[:1]]
        written_ms = self.in_progress().get(partition)
        oldest = min([*seen, *([written_ms / 1000] if written_ms else [])], default=None)
        return 0.0 if oldest is None else max(0.0, self.clock() - oldest)

    def _waiting(self, partition: int) -> list[tuple[float, int]]:
        """The marks that are not reached: before the first of them the oldest record that waits was there."""
        reached = self._committed.get(partition, 0)
        return [mark for mark in self._marks.get(partition, ()) if mark[1] > reached]


def _thinned(marks: list[tuple[float, int]]) -> list[tuple[float, int]]:
    """The marks, oldest first, each higher than the one before; where they are too many every other, the ends kept."""
    *before, last = marks
    if before and before[-1][1] == last[1]:
        return before
    return marks if len(marks) <= MOST_MARKS else [*before[::2], last]
