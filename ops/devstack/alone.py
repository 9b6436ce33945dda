"""One run at a time where two would end each other's servers."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from schemas.errors import StackError


@contextmanager
def alone(home: Path, what: str) -> Iterator[None]:
    """Hold the lock beside a directory. Raises `StackError` when another program has it."""
    lock = home.with_suffix(".lock")
    lock.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(lock).acquire(blocking=False):
            yield
    except Timeout as error:
        raise StackError(f"another {what} runs here", hint="wait for its end") from error
