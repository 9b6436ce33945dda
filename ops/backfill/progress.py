"""How far a backfill is: counted as it goes, said now and then."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

SPEAK_EVERY_SECONDS = 5.0

Say = Callable[[str], None]


@dataclass(slots=True, kw_only=True)
class Progress:
    """The counts of a backfill. `say` takes a line at the beginning of each phase, and every five seconds."""

    say: Say = lambda line: None
    clock: Callable[[], float] = time.monotonic
    phase: str = ""
    records: int = 0
    """Records read, all phases together."""
    keys: int = 0
    reused: int = 0
    """Points written with a vector that a collection had."""
    embedded: int = 0
    deleted: int = 0
    """Deletes sent, those of missing points among them."""
    right: int = 0
    """Points found as they should be, or newer."""
    missing: int = 0
    """Points written that were not there; 0 where a collection was filled from nothing."""
    refused: int = 0
    """Points that the model or Qdrant will never accept; their records are dead letters."""
    _done: int = field(init=False, default=0)
    _total: int = field(init=False, default=0)
    _began: float = field(init=False, default=0.0)
    _spoke: float = field(init=False, default=0.0)

    def begin(self, phase: str, total: int, unit: str) -> None:
        """Enter a phase of so many units of work."""
        self.phase, self._done, self._total = phase, 0, total
        self._began = self._spoke = self.clock()
        self.say(f"{phase}: {total:,} {unit}")

    def advance(self, units: int) -> None:
        """So much of the phase is done."""
        self._done += units
        now = self.clock()
        if now - self._spoke >= SPEAK_EVERY_SECONDS:
            self._spoke = now
            rate = self._done / max(now - self._began, 1e-3)
            left = max(self._total - self._done, 0) / rate if rate else 0.0
            self.say(f"{self.phase}: {self._done:,} of {self._total:,}, {rate:,.0f}/s, {left:,.0f} s left")
