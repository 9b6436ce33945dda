"""Keeps a log readable while something fails again and again: what repeats itself is said a few times, then counted."""

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TextIO

Line = tuple[str, int, str | None]
"""Where in the code a line comes from, and its action: the lines of one are told apart by their fields alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowed:
    """So many lines within so many seconds."""

    lines: int
    seconds: float


LIBRARY = Allowed(lines=1, seconds=10.0)
"""While a broker is away aiokafka logs hundreds of lines a second."""
OURS = Allowed(lines=10, seconds=60.0)
"""Of our own lines from WARNING on; what is INFO comes once for each event."""


@dataclass(slots=True, kw_only=True)
class _Window:
    """What was said and left out of one line since `began`."""

    began: float
    allowed: Allowed
    newest: logging.LogRecord
    said: int = 0
    left_out: int = 0


class Repeats:
    """Decides which records are written. It keeps a window for each line of code, so it does not grow."""

    def __init__(self, libraries: tuple[str, ...], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._libraries = libraries
        self._clock = clock
        self._windows: dict[Line, _Window] = {}

    def admit(self, record: logging.LogRecord) -> Iterator[logging.LogRecord]:
        """The records to write now: the counts of windows that have ended, then this one if it is within its limit.

        A line that ends the process is preceded by every count.
        """
        yield from self.counts(everything=record.levelno >= logging.CRITICAL)
        if (allowed := self._allowed(record)) is None:
            yield record
            return
        line: Line = (record.pathname, record.lineno, getattr(record, "action", None))
        window = self._windows.setdefault(line, _Window(began=self._clock(), allowed=allowed, newest=record))
        window.newest = record
        if window.said < allowed.lines:
            window.said += 1
            yield record
        else:
            window.left_out += 1

    def counts(self, *, everything: bool = False) -> Iterator[logging.LogRecord]:
        """How often a line was left out, for each window that has ended, or for all of them."""
        now = self._clock()
        for line, window in list(self._windows.items()):
            seconds = now - window.began
            if everything or seconds >= window.allowed.seconds:
                del self._windows[line]
                if window.left_out:
                    yield _count(window, seconds)

    def _allowed(self, record: logging.LogRecord) -> Allowed | None:
        if record.name.startswith(self._libraries):
            return LIBRARY
        return OURS if logging.WARNING <= record.levelno < logging.CRITICAL else None


class RepeatHandler(logging.StreamHandler[TextIO]):
    """Writes to a stream what `Repeats` admits; the counts come with the next line, and at the end of the process."""

    def __init__(self, stream: TextIO, repeats: Repeats) -> None:
        super().__init__(stream)
        self._repeats = repeats

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record, or count it."""
        for admitted in self._repeats.admit(record):
            super().emit(admitted)

    def close(self) -> None:
        """Write the counts that are left."""
        self.acquire()
        try:
            for count in self._repeats.counts(everything=True):
                super().emit(count)
        finally:
            self.release()
        super().close()


def _count(window: _Window, seconds: float) -> logging.LogRecord:
    """The newest line's text and action, without its other fields: those are of one record, this is about many."""
    newest = window.newest
    count = logging.LogRecord(
        newest.name, newest.levelno, newest.pathname, newest.lineno, newest.msg, newest.args, exc_info=None
    )
    if (action := getattr(newest, "action", None)) is not None:
        count.action = action
    count.left_out, count.within_seconds = window.left_out, round(seconds)
    return count
