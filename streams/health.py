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
class _Hold:
    """Why one of those that hold does so, and since when."""

    reason: str
    hint: str | None
    part: str
    since: float
    part_since: float


@dataclass(slots=True)
class Health:
    """Times are by the clock, in seconds.

    Two batches may be held at a time, one as it is written and one as it is confirmed: what held first is shown.
    `retries` counts attempts that are repeated, by part and kind of error; `errors` are those that the worker met last.
    """

    confirming_since: float | None = None
    retries: Counter[tuple[str, str]] = field(
        default_factory=lambda: Counter({(part, kind.value): 0 for part in PARTS for kind in REPEATED})
    )
    errors: LastErrors = field(default_factory=LastErrors)
    clock: Callable[[], float] = time.monotonic
    _holds: dict[object, _Hold] = field(init=False, default_factory=dict)
    _held_seconds: dict[str, float] = field(init=False, default_factory=lambda: dict.fromkeys(PARTS, 0.0))

    @property
    def held_reason(self) -> str | None:
        """The error that the partitions are held for."""
        return hold.reason if (hold := self._first()) else None

    @property
    def held_hint(self) -> str | None:
        """What to do about it."""
        return hold.hint if (hold := self._first()) else None

    def hold(self, error: LockstepError, by: object = None) -> bool:
        """Note why the partitions are held, after an attempt that failed; True when that is news."""
        part, now = part_of(error), self.clock()
        self.retries[part, error.kind.value] += 1
        self.errors.note(error)
        held = self._holds.get(by)
        if held is None:
            self._holds[by] = _Hold(str(error), error.hint, part, now, now)
            return True
        news = held.reason != str(error)
        held.reason, held.hint = str(error), error.hint
        if held.part != part:
            self._held_seconds[held.part] += now - held.part_since
            held.part, held.part_since = part, now
        return news

    def release(self, by: object = None) -> float | None:
        """Go on; the seconds that were held, or None when nothing was."""
        held = self._holds.pop(by, None)
        if held is None:
            return None
        now = self.clock()
        self._held_seconds[held.part] += now - held.part_since
        return now - held.since

    @contextmanager
    def confirming(self) -> Iterator[None]:
        """Around what only the broker can confirm: its library waits for ever, and says nothing."""
        self.confirming_since = self.clock()
        try:
            yield
        finally:
            if not self._held_by_broker() and (waited := self._unconfirmed_seconds()) is not None:
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
        if hold := self._first():
            return hold.part, self.clock() - hold.part_since
        waited = self._unconfirmed_seconds()
        return None if waited is None else (BROKER, waited)

    def held_seconds(self) -> dict[str, float]:
        """How long the partitions were held since the start, now included, by part."""
        found = dict(self._held_seconds)
        now = self.clock()
        for hold in self._holds.values():
            found[hold.part] += now - hold.part_since
        if not self._held_by_broker() and (waited := self._unconfirmed_seconds()) is not None:
            found[BROKER] += waited
        return found

    def retries_by_part(self) -> dict[str, int]:
        """Attempts that were repeated, by part; those without any are left out."""
        return {part: count for part in PARTS if (count := sum(self.retries[part, kind.value] for kind in REPEATED))}

    def _held_by_broker(self) -> bool:
        return any(hold.part == BROKER for hold in self._holds.values())

    def _first(self) -> _Hold | None:
        return next(iter(self._holds.values()), None)

    def _unconfirmed_seconds(self) -> float | None:
        since = self.confirming_since
        waited = None if since is None else self.clock() - since
        return waited if waited is not None and waited > CONFIRMED_WITHIN_SECONDS else None
