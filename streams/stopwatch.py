"""Where the time of a batch goes."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum


class Stage(StrEnum):
    """The parts of a batch's way, in their order."""

    DECODE = "decode"
    LOOK_UP = "look_up"
    """Ask for the collection behind the alias."""
    PLAN = "plan"
    EMBED = "embed"
    WRITE = "write"
    DEAD_LETTERS = "dead_letters"
    FAN_OUT = "fan_out"
    TABLE = "table"
    COMMIT = "commit"


class Stopwatch:
    """Adds up the seconds of each stage of one batch, over all its attempts; the waits between these count for none."""

    __slots__ = ("_clock", "_now_in", "_since", "seconds")

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self.seconds: dict[Stage, float] = {}
        self._clock = clock
        self._now_in: Stage | None = None
        self._since = 0.0

    @contextmanager
    def stage(self, stage: Stage) -> Iterator[None]:
        """Around what belongs to a stage; a stage inside another interrupts it, so that no second counts twice."""
        outer = self._enter(stage)
        try:
            yield
        finally:
            self._enter(outer)

    def _enter(self, stage: Stage | None) -> Stage | None:
        now, before = self._clock(), self._now_in
        if before is not None:
            self.seconds[before] = self.seconds.get(before, 0.0) + now - self._since
        self._now_in, self._since = stage, now
        return before
