"""Why the worker holds its partitions, if it does; read by its web pages."""

import time
from dataclasses import dataclass

from schemas.errors import LockstepError


@dataclass(slots=True)
class Health:
    """`held_since` is in `time.monotonic()` seconds."""

    held_reason: str | None = None
    held_hint: str | None = None
    held_since: float | None = None

    def hold(self, error: LockstepError) -> bool:
        """Note why the partitions are held; True when that is news."""
        news = self.held_reason != str(error)
        self.held_reason, self.held_hint = str(error), error.hint
        if self.held_since is None:
            self.held_since = time.monotonic()
        return news

    def release(self) -> float | None:
        """Go on; the seconds that were held, or None when nothing was."""
        held = None if self.held_since is None else time.monotonic() - self.held_since
        self.held_reason = self.held_hint = self.held_since = None
        return held
