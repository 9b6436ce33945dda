"""Looks after deletes once they are applied: each is repeated once, late, and forgotten after 30 days."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from operator import itemgetter
from typing import NoReturn, Protocol

from schemas.document import Deletion
from schemas.errors import LockstepError
from schemas.indexed_row import IndexedRow
from streams.bisect import bisect
from streams.ports import VectorStore
from streams.retry_policy import Verdict, judge
from streams.topics import DAY_MS

logger = logging.getLogger(__name__)

MARGIN_SECONDS = 5.0
LOOK_EVERY_SECONDS = 1.0
DROP_EVERY_SECONDS = 3600.0
REMEMBERED_MS = 30 * DAY_MS
REQUEST_DELETES = 200
RECENT_MS = 60 * 60 * 1000
"""How long all workers may be away without a delete that nobody repeated. A repeat too many costs little."""
MOST_WAITING = 250_000
"""About 40 MB. The oldest beyond it are repeated before their time."""


class DeletedRows(Protocol):
    """The worker's table, as far as deletes go."""

    @property
    def recoveries(self) -> int:
        """How often the table was recovered: once more means that partitions came."""
        ...

    def get(self, key: str) -> IndexedRow | None:
        """The entry of a key of a partition that is ours."""
        ...

    async def deleted_since(self, since_ms: int) -> Mapping[str, int]:
        """The keys that were deleted then or later, and when."""
        ...

    async def drop_deleted(self, before_ms: int) -> int:
        """Forget the keys that were deleted before then; how many."""
        ...


def wall_clock_ms() -> int:
    """The time that entries of the table carry."""
    return time.time_ns() // 1_000_000


@dataclass(slots=True, kw_only=True)
class LateDeletes:
    """Repeats deletes, because no version guards what is missing.

    A worker that lost its partition may have an upsert in flight that lands after the new owner's delete, and revives
    the point. One session and one request time-out later it has landed, so the delete is repeated then (promise 2).
    Beyond that, a request that something outside of us still holds is found by reconciliation.

    A repeat has the version of the table's entry: it removes nothing newer than the delete, whenever it is sent and
    whoever owns the partition then, so that it needs no lease. What waits is kept in memory alone: the worker that is
    assigned a partition finds its recent deletes in the table.
    """

    store: VectorStore
    table: DeletedRows
    session_timeout_seconds: float
    request_timeout_seconds: float
    stop: Callable[[str], NoReturn]
    clock: Callable[[], float] = time.monotonic
    wall_clock_ms: Callable[[], int] = wall_clock_ms
    _due: dict[str, float] = field(init=False, default_factory=dict)  # by the clock, soonest first
    _recoveries_seen: int = field(init=False, default=0)
    _next_drop: float = field(init=False, default=float("-inf"))
    _held_reason: str | None = field(init=False, default=None)

    @property
    def delay_seconds(self) -> float:
        """How long after its delete a repeat falls due."""
        return self.session_timeout_seconds + self.request_timeout_seconds + MARGIN_SECONDS

    @property
    def waiting(self) -> int:
        """Deletes still to be repeated."""
        return len(self._due)

    def note(self, keys: Iterable[str]) -> None:
        """Remember that these keys' points were deleted just now; the table must hold their entries already."""
        due = self.clock() + self.delay_seconds
        for key in keys:
            self._due.pop(key, None)
            self._due[key] = due

    async def keep(self) -> None:
        """Look after deletes until cancelled. An unknown error ends the process: nobody awaits this task."""
        try:
            while True:
                await self.look()
                await asyncio.sleep(LOOK_EVERY_SECONDS)
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # as at the agent's boundary
            logger.exception("unknown error")
            self.stop(f"{type(error).__name__}: {error}")

    async def look(self) -> None:
        """Do what is to be done now. What the store cannot take now is kept for the next look."""
        if (recoveries := self.table.recoveries) != self._recoveries_seen:
            await self._find_recent()
            self._recoveries_seen = recoveries
        try:
            await self._repeat_due()
            self._held_reason = None
        except LockstepError as error:
            if judge(error) is not Verdict.HOLD:
                raise
            self._note_held(error)
        if self._recoveries_seen and self.clock() >= self._next_drop:
            self._next_drop = self.clock() + DROP_EVERY_SECONDS
            if dropped := await self.table.drop_deleted(self.wall_clock_ms() - REMEMBERED_MS):
                logger.info("old deletes forgotten", extra={"action": "deletes_dropped", "entries": dropped})

    async def _find_recent(self) -> None:
        """Schedule what earlier owners deleted lately: they may have ended before the repeats fell due."""
        now, now_ms, delay = self.clock(), self.wall_clock_ms(), self.delay_seconds
        recent = await self.table.deleted_since(now_ms - RECENT_MS)
        for key, deleted_at_ms in recent.items():
            left = delay - (now_ms - deleted_at_ms) / 1000
            self._due.setdefault(key, now + min(max(left, 0.0), delay))  # another worker's clock may be ahead
        self._due = dict(sorted(self._due.items(), key=itemgetter(1)))
        logger.debug("recent deletes found", extra={"action": "recent_deletes_found", "keys": len(recent)})

    async def _repeat_due(self) -> None:
        """Repeat what is due, a request at a time.

        Raises:
            VectorStoreError: To be held; what was not repeated still waits.
        """
        while due := self._next_due():
            # Not the version of the delete: its tombstone comes later, and raises the entry's.
            entries = {key: self.table.get(key) for key in due}
            deletions = [Deletion(key=k, version=row.version) for k, row in entries.items() if row and row.deleted]
            if deletions:
                live = await self.store.live_collection()
                refused = await bisect(deletions, partial(self.store.delete, live.name))
                for deletion, error in refused:
                    logger.warning(
                        "late delete refused",
                        extra={"action": "late_delete_refused", "key": deletion.key, "error": str(error)},
                    )
                logger.debug("deletes repeated", extra={"action": "deletes_repeated", "keys": len(deletions)})
            for key, at in due.items():
                if self._due.get(key) == at:  # else it was deleted anew meanwhile
                    del self._due[key]

    def _next_due(self) -> dict[str, float]:
        now = self.clock()
        too_many = len(self._due) - MOST_WAITING
        first = enumerate(islice(self._due.items(), REQUEST_DELETES))
        return {key: at for number, (key, at) in first if at <= now or number < too_many}

    def _note_held(self, error: LockstepError) -> None:
        if self._held_reason != str(error):
            self._held_reason = str(error)
            logger.warning(
                "late deletes wait",
                extra={"action": "late_deletes_wait", "error": str(error), "hint": error.hint, "keys": self.waiting},
            )
