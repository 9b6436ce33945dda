"""The pipeline's status, asked for beside the requests, so that a scrape waits for no part."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from ops.beside import beside
from ops.status.report import SyncStatus
from schemas.collection import CollectionState, Phase
from schemas.errors import LockstepError

logger = logging.getLogger(__name__)

WITHIN_SECONDS = 5.0
REST_SECONDS = 5.0
LONGEST_REST_SECONDS = 30.0
FIRST_REST_SECONDS = 0.5
"""While nothing is known yet, as right after the start."""
REST = 20
"""It rests so many times as long as a look took, within the two: rows are counted and dead letters read each time."""

NO_PHASE = "none"
"""Of a collection that no rebuild has filled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What the parts said. `phases` counts collections by phase: None while Qdrant cannot tell."""

    status: SyncStatus
    phases: Mapping[str, int] | None


class StatusWatch:
    """Looks again and again; nobody who asks it waits."""

    def __init__(
        self,
        read_status: Callable[[], Awaitable[SyncStatus | None]],
        read_collections: Callable[[], Awaitable[Sequence[CollectionState]]],
        *,
        clock: Callable[[], float] = time.monotonic,
        within_seconds: float = WITHIN_SECONDS,
        rest_seconds: float = REST_SECONDS,
    ) -> None:
        self._read_status = read_status
        self._read_collections = read_collections
        self._clock = clock
        self._within_seconds = within_seconds
        self._rest_seconds = rest_seconds
        self.latest: Look | None = None
        """None until the first look has come to its end."""

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """Look for as long as the block lasts."""
        async with beside(self._watch()):
            yield

    async def look(self) -> None:
        """Ask every part. The status names those that cannot be asked; without a status the last look stays."""
        status, phases = await asyncio.gather(self._read_status(), self._phases())
        if status is not None:
            self.latest = Look(status=status, phases=phases)

    async def _watch(self) -> None:
        while True:
            started = self._clock()
            try:
                await self.look()
            except LockstepError as error:
                logger.warning("status unknown", extra={"action": "status_unknown", "reason": str(error)})
            took = self._clock() - started
            rest = min(max(self._rest_seconds, REST * took), LONGEST_REST_SECONDS)
            await asyncio.sleep(rest if self.latest else FIRST_REST_SECONDS)

    async def _phases(self) -> dict[str, int] | None:
        try:
            async with asyncio.timeout(self._within_seconds):
                collections = await self._read_collections()
        except (TimeoutError, LockstepError):
            return None
        counted = Counter(state.phase or NO_PHASE for state in collections)
        return {phase: counted[phase] for phase in (*Phase, NO_PHASE)}
