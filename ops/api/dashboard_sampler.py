"""Looks at the whole pipeline again and again, once for all who watch the dashboard."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from ops.api.dead_letter_routes import OpenLetters, summary
from ops.api.history import History, Sample
from ops.beside import beside
from ops.dead_letter_jobs import LetterRetries, LettersAtHand
from ops.index_age import Age
from ops.status.report import SyncStatus
from schemas.errors import LockstepError

logger = logging.getLogger(__name__)

REST_WATCHED_SECONDS = 1.0
REST_SECONDS = 10.0
REST = 3
"""It rests so many times as long as a look took, so that looking never becomes the load."""
LONGEST_REST_SECONDS = 10.0
MOST_LISTENERS = 32
WITHIN_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """What was found at one moment; `letters` is None while the broker cannot be asked."""

    status: SyncStatus
    age_seconds: float | None
    letters: OpenLetters | None


class Looking:
    """Takes snapshots. What cannot be asked is None in them, as it says; `read_status` is given the status before."""

    def __init__(
        self,
        read_status: Callable[[SyncStatus | None], Awaitable[SyncStatus]],
        age: Age,
        letters: LettersAtHand,
        retries: LetterRetries,
    ) -> None:
        self._read_status = read_status
        self._age = age
        self._letters = letters
        self._retries = retries

    async def __call__(self, before: Snapshot | None) -> Snapshot:
        """Ask every part."""
        status, letters = await asyncio.gather(
            self._read_status(before.status if before else None), self._open_letters()
        )
        return Snapshot(status=status, age_seconds=self._age.seconds, letters=letters)

    async def _open_letters(self) -> OpenLetters | None:
        try:
            async with asyncio.timeout(WITHIN_SECONDS):
                return summary(await self._letters.read(), self._retries)
        except (TimeoutError, LockstepError):
            return None


class TooManyListenersError(Exception):
    """As many listen already as may."""


class Sampler:
    """Keeps the latest snapshot and the history of the last hour.

    It looks every second or so while somebody listens, and every ten otherwise, for the history.
    """

    def __init__(
        self, look: Callable[[Snapshot | None], Awaitable[Snapshot]], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`look` is given the snapshot before."""
        self.looks = 0
        """How many have come to their end."""
        self.latest: Snapshot | None = None
        """None until the first look has come to its end."""
        self.history = History()
        self._look = look
        self._clock = clock
        self.listeners = 0
        """How many watch now."""
        self._fresh = asyncio.Event()
        self._hurry = asyncio.Event()
        self.closed = False

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Look for as long as the block lasts."""
        async with beside(self._run()):
            try:
                yield
            finally:
                self.close()

    def close(self) -> None:
        """Tell everybody who waits that nothing comes any more; safe to repeat."""
        self.closed = True
        self._fresh.set()

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Be counted among those who watch. Raises `TooManyListenersError`."""
        if self.listeners >= MOST_LISTENERS:
            raise TooManyListenersError
        if self.listeners == 0:
            self.hurry()
        self.listeners += 1
        try:
            yield
        finally:
            self.listeners -= 1

    async def after(self, looks: int, *, within_seconds: float) -> Snapshot | None:
        """The latest snapshot, once there were more looks than that; None when it took too long, or it is closed."""
        try:
            async with asyncio.timeout(within_seconds):
                while not self.closed and self.looks <= looks:
                    await self._fresh.wait()
        except TimeoutError:
            return None
        return None if self.closed else self.latest

    def hurry(self) -> None:
        """Look again at once: something was done that shows."""
        self._hurry.set()

    async def look(self) -> None:
        """Look once, and tell everybody who waits."""
        self.latest = snapshot = await self._look(self.latest)
        self.looks += 1
        lag, slot = snapshot.status.lag, snapshot.status.slot
        self.history.add(
            Sample(
                at=datetime.now(UTC).timestamp(),
                lag_records=lag.lag_records if lag else None,
                age_seconds=snapshot.age_seconds,
                wal_bytes=slot.held_back_bytes if slot else None,
            )
        )
        self._fresh.set()
        self._fresh = asyncio.Event()

    async def _run(self) -> None:
        while True:
            started = self._clock()
            self._hurry.clear()
            try:
                await self.look()
            except Exception:  # nobody awaits this task: a page that stands still says since when
                logger.exception("look failed", extra={"action": "look_failed"})
            rest = min(max(self._shortest_rest(), REST * (self._clock() - started)), LONGEST_REST_SECONDS)
            with suppress(TimeoutError):
                async with asyncio.timeout(rest):
                    await self._hurry.wait()

    def _shortest_rest(self) -> float:
        return REST_WATCHED_SECONDS if self.listeners else REST_SECONDS
