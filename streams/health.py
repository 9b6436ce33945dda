"""Why the worker does not get on, if so, and how long for; read by its web pages."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from schemas.errors import (
    BrokerError,
    DecodeError,
    EmbeddingError,
    ErrorKind,
    LockstepError,
    SourceError,
    VectorStoreError,
)
from streams.last_errors import LastErrors

CONFIRMED_WITHIN_SECONDS = 5.0

BROKER = "broker"
PART_OF = {
    VectorStoreError: "qdrant",
    EmbeddingError: "model",
    SourceError: "postgres",
    BrokerError: BROKER,
    DecodeError: "schema",
}
"""Which part is at fault, by the class of the error; schema: the rows of the topic lack a column."""
PARTS = (*PART_OF.values(), "other")
REPEATED = (ErrorKind.TRANSIENT, ErrorKind.OUTAGE)


def part_of(error: LockstepError) -> str:
    """The part at fault, one of `PARTS`."""
    return next((part for kind, part in PART_OF.items() if isinstance(error, kind)), "other")


@dataclass(slots=True)
class Health:
    """Times are by the clock, in seconds.

    `retries` counts attempts that are repeated, by part and kind of error; `errors` are those that the worker met last.
    """

    held_reason: str | None = None
    held_hint: str | None = None
    held_part: str | None = None
    held_since: float | None = None
    confirming_since: float | None = None
    retries: Counter[tuple[str, str]] = field(
        default_factory=lambda: Counter({(part, kind.value): 0 for part in PARTS for kind in REPEATED})
    )
    errors: LastErrors = field(default_factory=LastErrors)
    clock: Callable[[], float] = time.monotonic
    _part_since: float = field(init=False, default=0.0)
    _held_seconds: dict[str, float] = field(init=False, default_factory=lambda: dict.fromkeys(PARTS, 0.0))

    def hold(self, error: LockstepError) -> bool:
        """Note why the partitions are held, after an attempt that failed; True when that is news."""
        part, now = part_of(error), self.clock()
        self.retries[part, error.kind.value] += 1
        self.errors.note(error)
        news = self.held_reason != str(error)
        self.held_reason, self.held_hint = str(error), error.hint
        if self.held_since is None:
            self.held_since = now
        if self.held_part != part:
            self._end_part(now)
            self.held_part, self._part_since = part, now
        return news

    def release(self) -> float | None:
        """Go on; the seconds that were held, or None when nothing was."""
        now = self.clock()
        held = None if self.held_since is None else now - self.held_since
        self._end_part(now)
        self.held_reason = self.held_hint = self.held_part = self.held_since = None
        return held

    @contextmanager
    def confirming(self) -> Iterator[None]:
        """Around what only the broker can confirm: its library waits for ever, and says nothing."""
        self.confirming_since = self.clock()
        try:
            yield
        finally:
            if self.held_part is None and (waited := self._unconfirmed_seconds()) is not None:
                self._held_seconds[BROKER] += waited
            self.confirming_since = None

    def trouble(self) -> str | None:
        """Why the worker does not get on, in a sentence, or None."""
        if self.held_reason:
            return f"held: {self.held_reason}"
        if (waited := self._unconfirmed_seconds()) is not None:
            return f"the broker has confirmed nothing for {waited:.0f} s"
        return None

    def holding(self) -> tuple[str, float] | None:
        """The part that the partitions are held because of now, and since how many seconds; None while they are not."""
        if self.held_part is not None:
            return self.held_part, self.clock() - self._part_since
        waited = self._unconfirmed_seconds()
        return None if waited is None else (BROKER, waited)

    def held_seconds(self) -> dict[str, float]:
        """How long the partitions were held since the start, now included, by part."""
        found = dict(self._held_seconds)
        if holding := self.holding():
            part, seconds = holding
            found[part] += seconds
        return found

    def retries_by_part(self) -> dict[str, int]:
        """Attempts that were repeated, by part; those without any are left out."""
        return {part: count for part in PARTS if (count := sum(self.retries[part, kind.value] for kind in REPEATED))}

    def _end_part(self, now: float) -> None:
        if self.held_part is not None:
            self._held_seconds[self.held_part] += now - self._part_since

    def _unconfirmed_seconds(self) -> float | None:
        since = self.confirming_since
        waited = None if since is None else self.clock() - since
        return waited if waited is not None and waited > CONFIRMED_WITHIN_SECONDS else None
