"""Sends what a backfill asks of Qdrant: in parts, a few at a time, and again where a fault passes by itself."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from tenacity import AsyncRetrying, retry_if_exception, stop_after_delay, wait_random_exponential

from schemas.errors import ErrorKind, LockstepError

AT_ONCE = 3
PATIENCE_SECONDS = 120.0

Item = TypeVar("Item")


@dataclass(slots=True, kw_only=True)
class Requests:
    """Requests of one run. One that was given up may still be carried out, for as long as `late_seconds`."""

    late_seconds: float = 10.0
    clock: Callable[[], float] = time.monotonic
    _late_until: float | None = field(init=False, default=None)

    @property
    def one_may_be_late(self) -> bool:
        """Whether one was given up, at any time."""
        return self._late_until is not None

    async def until_none_is_late(self) -> None:
        """Wait until every request that was given up has been carried out, or never will be."""
        if self._late_until is not None:
            await asyncio.sleep(max(0.0, self._late_until - self.clock()))

    async def patiently(self, attempt: Callable[[], Awaitable[None]]) -> None:
        """Try again what passes by itself; an outage is said at once, since the command can be run again."""
        retrying = AsyncRetrying(
            retry=retry_if_exception(self._passes),
            wait=wait_random_exponential(multiplier=0.2, max=10.0),
            stop=stop_after_delay(PATIENCE_SECONDS),
            reraise=True,
        )
        async for one in retrying:
            with one:
                await attempt()

    def _passes(self, error: BaseException) -> bool:
        passes = isinstance(error, LockstepError) and error.kind is ErrorKind.TRANSIENT
        if passes:
            self._late_until = self.clock() + self.late_seconds
        return passes


def in_parts(items: Sequence[Item], most: int) -> Iterator[Sequence[Item]]:
    """Runs of at most so many items."""
    for start in range(0, len(items), most):
        yield items[start : start + most]


async def each(parts: Iterator[Sequence[str]], act: Callable[[Sequence[str]], Awaitable[None]]) -> None:
    """Act on every part, a few at a time; the first error ends the others, and is raised as itself."""

    async def go_through() -> None:
        for part in parts:
            await act(part)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(go_through())
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from errors
