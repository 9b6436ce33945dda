"""Why the worker does not get on, if so; read by its web pages."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from schemas.errors import LockstepError

CONFIRMED_WITHIN_SECONDS = 5.0


@dataclass(slots=True)
class Health:
    """Times are in `time.monotonic()` seconds."""

    held_reason: str | None = None
    held_hint: str | None = None
    held_since: float | None = None
    confirming_since: float | None = None

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

    @contextmanager
    def confirming(self) -> Iterator[None]:
        """Around what only the broker can confirm: its library waits for ever, and says nothing."""
        self.confirming_since = time.monotonic()
        try:
            yield
        finally:
            self.confirming_since = None

    def trouble(self) -> str | None:
        """Why the worker does not get on, in a sentence, or None."""
        if self.held_reason:
            return f"held: {self.held_reason}"
        since = self.confirming_since
        if since is not None and (waited := time.monotonic() - since) > CONFIRMED_WITHIN_SECONDS:
            return f"the broker has confirmed nothing for {waited:.0f} s"
        return None
