"""Takes batches from their records to their commit, in order, the next one begun while the last is confirmed."""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

from faust.types import TP

from schemas.record import Place, Record
from streams.indexer import Indexer, Written
from streams.lease import GenerationLease, Pulse
from streams.ports import LeaseLostError
from streams.source_marks import Verification
from streams.stopwatch import Stage, Stopwatch

logger = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class BatchLine:
    """While the broker confirms what a batch came to, the effect of the next one is written.

    Promise 1: of each batch the effect comes first, then its events, its table entries, its commit; and each of these
    after that of the batch in front. A batch that is dropped takes the one behind it along, for both are of a
    generation that has ended; one of the next generation begins when nothing is under way any more.

    A batch is what has come while the one before it was written, at most `batch_records`: nothing waits for it to fill.

    `stop` ends the process at once: a batch that failed for an unknown reason must not be passed over.
    """

    indexer: Indexer
    pulse: Pulse
    verification: Verification
    current_generation: Callable[[], int]
    commit: Callable[[Mapping[TP, int]], Awaitable[object]]
    stop: Callable[[str], NoReturn]
    batch_records: int
    _waiting: deque[Any] = field(init=False, default_factory=deque)
    _changed: asyncio.Condition = field(init=False, default_factory=asyncio.Condition)
    _turn: asyncio.Lock = field(init=False, default_factory=asyncio.Lock)
    _confirming: asyncio.Task[None] | None = field(init=False, default=None)
    _generation: int | None = field(init=False, default=None)
    """Of the batch that is confirmed, or was last."""

    async def offer(self, events: Sequence[Any]) -> None:
        """Have Faust's events applied in their turn; returns once they are among those that wait, a batch at most."""
        async with self._changed:
            await self._changed.wait_for(
                lambda: not self._waiting or len(self._waiting) + len(events) <= self.batch_records
            )
            self._waiting += events
            self._changed.notify_all()

    async def keep(self) -> None:
        """Apply what is offered until cancelled. An unknown error ends the process: nobody awaits this task."""
        try:
            while True:
                await self.take(await self._next())
        except BaseException as error:  # a boundary, as the agent is
            self._end_for(error)
            raise

    async def _next(self) -> list[Any]:
        async with self._changed:
            await self._changed.wait_for(lambda: len(self._waiting) > 0)
            events = [self._waiting.popleft() for _ in range(min(self.batch_records, len(self._waiting)))]
            self._changed.notify_all()
            return events

    async def take(self, events: Sequence[Any]) -> None:
        """Write the effect of a batch; what else is to be done follows beside the next call."""
        async with self._turn:
            await self._take(events)

    async def rest(self) -> None:
        """Return once no batch is under way; none begins after it."""
        await self._turn.acquire()
        await self._until_confirmed()

    async def _take(self, events: Sequence[Any]) -> None:
        generation = self.current_generation()
        # Records of an older generation are not acknowledged: they are read again from the committed offset.
        live = [event for event in events if event.message.generation_id == generation]
        if len(live) < len(events):
            _note_dropped("their generation has ended", len(events) - len(live))
        if not live:
            return
        if self.verification.generation != generation:
            self.stop(f"records came in generation {generation} before their topic was verified")
        if self._generation != generation:
            await self._until_confirmed()
        lease = GenerationLease(generation=generation, current_generation=self.current_generation, pulse=self.pulse)
        try:
            written = await self.indexer.write([_record(event.message) for event in live], lease)
        except LeaseLostError as lost:
            _note_dropped(lost, len(live))
            return
        await self._until_confirmed()
        self._generation = generation
        self._confirming = asyncio.create_task(self._confirm(live, written, lease))

    async def _until_confirmed(self) -> None:
        if self._confirming is not None:
            await asyncio.wait({self._confirming})

    async def _confirm(self, events: Sequence[Any], written: Written, lease: GenerationLease) -> None:
        try:
            await self.indexer.confirm(written, lease)
            lease.check()
            stopwatch = Stopwatch()
            with stopwatch.stage(Stage.COMMIT), self.indexer.health.confirming():
                await self.commit({event.message.tp: event.message.offset + 1 for event in events})
            self.indexer.counters.count_stages(stopwatch.seconds)
            for event in events:
                event.ack()
        except LeaseLostError as lost:
            _note_dropped(lost, len(events))
        except BaseException as error:  # nobody awaits this task: it is a boundary, as the agent is
            self._end_for(error)
            raise

    def _end_for(self, error: BaseException) -> None:
        """End the process for an error that nobody knows, unless it is the end of this task itself.

        What was awaited may end as cancelled, too: Faust passes on what befell its consumer's thread.
        """
        task = asyncio.current_task()
        if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
            return
        logger.exception("unknown error")
        self.stop(f"{type(error).__name__}: {error}")


def _note_dropped(reason: object, records: int) -> None:
    logger.info("batch dropped", extra={"action": "batch_dropped", "reason": str(reason), "records": records})


def _record(message: Any) -> Record:
    headers = message.headers or ()
    pairs = headers.items() if isinstance(headers, dict) else headers
    return Record(
        place=Place(topic=message.topic, partition=message.partition, offset=message.offset),
        key=message.key,
        value=message.value,
        headers=tuple(pairs),
        timestamp_ms=int((message.timestamp or 0) * 1000),
    )
