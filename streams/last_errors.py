"""The errors that a worker met last, for its page: the log has them all."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from schemas.errors import LockstepError

KEPT = 20
MOST_CHARACTERS = 1000
"""Of a message: some quote what a server sent."""


@dataclass(slots=True, kw_only=True)
class MetError:
    """An error, and how often it was met in a row; `place` is the record's, when it was one record's."""

    at: datetime
    error: str
    message: str
    hint: str | None = None
    place: str | None = None
    times: int = 1

    def as_dict(self) -> dict[str, Any]:
        """For the stats page."""
        return {
            "at": self.at.isoformat(timespec="milliseconds"),
            "error": self.error,
            "message": self.message,
            "hint": self.hint,
            "place": self.place,
            "times": self.times,
        }


@dataclass(slots=True)
class LastErrors:
    """The newest first. An error that is met again at once takes no second line."""

    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    _kept: deque[MetError] = field(init=False, default_factory=lambda: deque(maxlen=KEPT))

    def note(self, error: Exception, *, place: str | None = None) -> None:
        """Remember an error: of one record, or of what holds them all."""
        message = str(error)[:MOST_CHARACTERS]
        newest = self._kept[0] if self._kept else None
        if newest and (newest.error, newest.message, newest.place) == (type(error).__name__, message, place):
            newest.at, newest.times = self.clock(), newest.times + 1
            return
        hint = error.hint if isinstance(error, LockstepError) else None
        self._kept.appendleft(
            MetError(at=self.clock(), error=type(error).__name__, message=message, hint=hint, place=place)
        )

    def newest(self) -> list[MetError]:
        """What is remembered."""
        return list(self._kept)
