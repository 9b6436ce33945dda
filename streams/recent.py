"""What a worker did in the last half minute, for its page."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from streams.counters import Counters
from streams.stopwatch import Stage

WINDOW_SECONDS = 30.0
NOTE_EVERY_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Activity:
    """Per second, and how a batch spent its time on average; nothing where there was no batch."""

    seconds: float = 0.0
    records: float = 0.0
    embeddings_made: float = 0.0
    embeddings_avoided: float = 0.0
    events: float = 0.0
    dead_letters: float = 0.0
    batches: float = 0.0
    stage_seconds: Mapping[Stage, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Totals:
    at: float
    batches: int
    counts: tuple[int, ...]
    stages: Mapping[Stage, float]


@dataclass(slots=True, kw_only=True)
class Recent:
    """Remembers the totals of the window, about once a second."""

    counters: Counters
    clock: Callable[[], float] = time.monotonic
    _noted: deque[_Totals] = field(init=False, default_factory=deque)

    async def keep(self) -> None:
        """Note the totals once a second until cancelled."""
        while True:
            self.note()
            await asyncio.sleep(NOTE_EVERY_SECONDS)

    def note(self) -> None:
        """Remember how things stand now, and forget what lies before the window."""
        now = self._totals()
        self._noted.append(now)
        while now.at - self._noted[0].at > WINDOW_SECONDS:
            self._noted.popleft()

    def activity(self) -> Activity:
        """What was done since the oldest note of the window."""
        now = self._totals()
        since = next((totals for totals in self._noted if now.at - totals.at <= WINDOW_SECONDS), None)
        if since is None or now.at <= since.at:
            return Activity()
        seconds, batches = now.at - since.at, now.batches - since.batches
        records, made, avoided, events, dead = (
            (later - earlier) / seconds for later, earlier in zip(now.counts, since.counts, strict=True)
        )
        return Activity(
            seconds=seconds,
            records=records,
            embeddings_made=made,
            embeddings_avoided=avoided,
            events=events,
            dead_letters=dead,
            batches=batches / seconds,
            stage_seconds={stage: (total - since.stages[stage]) / batches for stage, total in now.stages.items()}
            if batches
            else {},
        )

    def _totals(self) -> _Totals:
        counters = self.counters
        return _Totals(
            at=self.clock(),
            batches=counters.batches,
            counts=(
                counters.records,
                counters.embeddings_made,
                counters.embeddings_avoided,
                counters.events.total(),
                counters.dead_letters.total(),
            ),
            stages={stage: spent.total for stage, spent in counters.stages.items()},
        )
