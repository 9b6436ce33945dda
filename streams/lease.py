"""The right of a worker to act on a batch, and the end of it."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NoReturn

from streams.ports import LeaseLostError

BEAT_SECONDS = 0.25


@dataclass(slots=True)
class Pulse:
    """Knows when the event loop ran last, so that a process that was paused notices before it writes.

    A worker that stood still for longer than half its session may already have lost its partitions without having been
    told: a late write of it could revive a deleted point, which no version guards.
    """

    limit_seconds: float
    stop: Callable[[str], NoReturn]
    clock: Callable[[], float] = time.monotonic
    last_beat: float = field(init=False)

    def __post_init__(self) -> None:
        self.last_beat = self.clock()

    def beat(self) -> None:
        """Note that the loop runs; ends the process when it stood still for too long."""
        now = self.clock()
        if now - self.last_beat > self.limit_seconds:
            self.stop(f"the event loop stood still for {now - self.last_beat:.1f} s, longer than half the session")
        self.last_beat = now

    async def keep(self) -> None:
        """Beat until cancelled; begin before anything can wait, for Faust's own tasks begin after the recovery."""
        self.last_beat = self.clock()
        while True:
            self.beat()
            await asyncio.sleep(BEAT_SECONDS)

    def silence_seconds(self) -> float:
        """How long ago the loop ran last; may be called from another thread."""
        return self.clock() - self.last_beat


@dataclass(slots=True, kw_only=True)
class GenerationLease:
    """Ends when the consumer group moves on to another generation than the batch's."""

    generation: int
    current_generation: Callable[[], int]
    pulse: Pulse

    def check(self) -> None:
        """Raise `LeaseLostError` unless the batch is still ours."""
        self.pulse.beat()
        if self.current_generation() != self.generation:
            raise LeaseLostError(f"generation {self.generation} has ended")
