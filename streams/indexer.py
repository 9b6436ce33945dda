"""Takes a batch of records through to its effect: write Qdrant, set aside what cannot be applied, remember the rest.

    decode ─ fold and plan ─ embed what is left ─ write Qdrant (guarded) ─ dead letters and events confirmed
           ─ table confirmed

Promise 1 rests on this order: effect first, table second; the caller acknowledges last. A crash anywhere repeats work
and skips none. Events come before the table because they are computed from its old state: a change that is redelivered
gives the same events under the same ids.
"""

import asyncio
import logging
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import chain
from typing import Any

from schemas.action import DeletePoint
from schemas.change import Operation
from schemas.collection import LiveCollection
from schemas.dead_letter import DeadLetter
from schemas.document import Vectors
from schemas.record import Place, Record
from streams.batch import Received, Refusal, Step, decode_batch, fold, partition_of
from streams.counters import Counters
from streams.fanout import route
from streams.health import Health
from streams.point_writer import PointWriter
from streams.ports import (
    DeadLetterTopic,
    Embedders,
    IndexedRows,
    Lease,
    OrderedTopics,
    RowSource,
    TableEntry,
    Trail,
    VectorStore,
)
from streams.retry_policy import hold_until_done
from streams.rows_ahead import RowsAhead
from streams.stopwatch import Stage, Stopwatch

logger = logging.getLogger(__name__)

LEASE_LOOK_SECONDS = 0.5


def utc_now() -> datetime:
    """The worker's clock."""
    return datetime.now(UTC)


@dataclass(slots=True, kw_only=True)
class _Outcome:
    """What the attempt that succeeded came to."""

    attempts: int
    refusals: list[Refusal]
    steps: list[Step] = field(default_factory=list)
    skipped: dict[Place, Operation] = field(default_factory=dict)
    """The changes that came too late."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A batch whose effect is in Qdrant, and what is still to be confirmed of it."""

    records: int
    first_ms: Mapping[int, int]
    """When its first record of each partition was written, in ms since the epoch."""
    outcome: _Outcome
    entries: Sequence[TableEntry]
    vectors: Collection[str]
    written_at: datetime
    stopwatch: Stopwatch


@dataclass(slots=True, kw_only=True)
class Indexer:
    """Applies batches in order. One may be written while the one in front of it is confirmed: `BatchLine` does that."""

    store: VectorStore
    embedders: Embedders
    rows: RowSource
    table: IndexedRows
    dead_letters: DeadLetterTopic
    health: Health
    counters: Counters
    epoch: int = 0
    set_aside: Collection[Place] = ()
    trail: Trail | None = None
    note_deletes: Callable[[Sequence[str]], None] = lambda keys: None
    """Called with the keys whose points were removed, once the table has them."""
    events: OrderedTopics | None = None
    """None publishes nothing."""
    clock: Callable[[], datetime] = utc_now
    live: LiveCollection | None = field(init=False, default=None)
    """Where batches go, as far as it was last looked up."""
    _under_way: list[Mapping[int, int]] = field(init=False, default_factory=list)
    _rows_ahead: RowsAhead = field(init=False)

    def __post_init__(self) -> None:
        self._rows_ahead = RowsAhead(self.table)

    @property
    def in_progress(self) -> Mapping[int, int]:
        """When the first record in hand was written, in ms since the epoch, by partition."""
        # In reverse, so that the first of each partition stays.
        return {partition: ms for first_ms in reversed(self._under_way) for partition, ms in first_ms.items()}

    async def apply(self, records: Sequence[Record], lease: Lease) -> None:
        """Bring the index up to date with the records; when it returns they may be acknowledged.

        Holds for as long as an outage lasts. Repeating it, whole or in part, changes nothing.

        Raises:
            LeaseLostError: The batch belongs to another worker now: drop it.
        """
        await self.confirm(await self.write(records, lease), lease)

    async def write(self, records: Sequence[Record], lease: Lease) -> Written:
        """The first half of `apply`: the effect. What it gives must be confirmed, in the order of the batches.

        Raises:
            LeaseLostError: As `apply`.
        """
        first_ms = {record.place.partition: record.timestamp_ms for record in reversed(records)}
        self._under_way.append(first_ms)
        try:
            vectors: dict[str, Vectors] = {}  # what the model made for this batch, by fingerprint
            stopwatch = Stopwatch()
            outcome = await hold_until_done(
                lambda number: self._attempt(records, lease, vectors, stopwatch, number), self.health
            )
            lease.check()
        except BaseException:
            self._under_way.remove(first_ms)
            raise
        written = Written(
            records=len(records),
            first_ms=first_ms,
            outcome=outcome,
            entries=[
                TableEntry(partition=step.partition, key=step.key, row=step.after)
                for step in outcome.steps
                if step.after is not None and step.after is not step.before
            ],
            vectors=vectors.keys(),
            written_at=self.clock(),
            stopwatch=stopwatch,
        )
        self.counters.count_searchable(outcome.steps, written.written_at)
        self._rows_ahead.expect(written.entries)
        return written

    async def confirm(self, written: Written, lease: Lease) -> None:
        """The second half of `apply`: dead letters, events and table entries, each confirmed by the broker.

        Raises:
            LeaseLostError: As `apply`.
        """
        try:
            lease.check()
            await self._confirm(written, lease)
        finally:
            self._rows_ahead.settle(written.entries)
            self._under_way.remove(written.first_ms)

    async def _confirm(self, written: Written, lease: Lease) -> None:
        outcome, stopwatch = written.outcome, written.stopwatch
        if outcome.refusals:
            with stopwatch.stage(Stage.DEAD_LETTERS), self.health.confirming():
                await self.dead_letters.publish(
                    [_dead_letter(r, outcome.attempts, written.written_at) for r in outcome.refusals]
                )
            lease.check()
        with stopwatch.stage(Stage.FAN_OUT):
            await self._publish(outcome.steps, written.written_at, lease)
        with stopwatch.stage(Stage.TABLE), self.health.confirming():
            await self.table.put(written.entries)
        self.note_deletes([step.key for step in outcome.steps if isinstance(step.action, DeletePoint)])
        if self.trail:
            self.trail.note([*chain.from_iterable(step.outcomes for step in outcome.steps), *_set_aside(outcome)])
        self._count(outcome, written.vectors)
        self.counters.count_batch(written.records, stopwatch.seconds)

    async def _attempt(
        self,
        records: Sequence[Record],
        lease: Lease,
        vectors: dict[str, Vectors],
        stopwatch: Stopwatch,
        number: int,
    ) -> _Outcome:
        """Look the collection up, plan, embed and write: one unit, so that a retry sees an alias that moved."""
        lease.check()
        with stopwatch.stage(Stage.DECODE):
            received, refusals = decode_batch(records, epoch=self.epoch, set_aside=self.set_aside)
        outcome = _Outcome(attempts=number, refusals=refusals)
        if not received:
            return outcome
        with stopwatch.stage(Stage.LOOK_UP):
            live = self.live = await self.store.live_collection()
        with stopwatch.stage(Stage.EMBED):  # at first the model is loaded
            embedder = await self.embedders.for_recipe(live.recipe)
        now = self.clock()
        writer = PointWriter(
            store=self.store,
            embedder=embedder,
            live=live,
            lease=lease,
            vectors=vectors,
            stopwatch=stopwatch,
            now=now,
        )
        now_ms = int(now.timestamp() * 1000)
        while received:
            with stopwatch.stage(Stage.PLAN):
                steps = [
                    await fold(
                        key,
                        items,
                        self._rows_ahead.get(key, partition_of(items)),
                        live.recipe,
                        rows=self.rows,
                        now_ms=now_ms,
                    )
                    for key, items in received.items()
                ]
            refused = await writer.write(steps)
            # The record of a refused write is set aside, and its key planned again without it.
            retries: dict[str, list[Received]] = {}
            for step in steps:
                if (error := refused.get(step.key)) is None:
                    outcome.steps.append(step)
                    outcome.skipped |= _operations(step, received[step.key])
                    refusals += step.refused  # of the last plan only: planned again, a key refuses them again
                    continue
                items = received[step.key]
                index = next(
                    i
                    for i, item in enumerate(items)
                    if item.change and item.change.place == step.applied[-1].change.place
                )
                refusals.append(Refusal(record=items[index].record, error=error))
                items[index] = Received(record=items[index].record, change=None)
                retries[step.key] = items
            received = retries
        return outcome

    async def _publish(self, steps: Sequence[Step], written_at: datetime, lease: Lease) -> None:
        topics = self.events
        events = route(steps, searchable_at=written_at) if topics else []
        if not topics or not events:
            return

        async def attempt(_: int) -> None:
            lease.check()
            with self.health.confirming():
                await _while_ours(topics.publish(events), lease)

        await hold_until_done(attempt, self.health)
        lease.check()
        self.counters.events.update(event.topic for event in events)

    def _count(self, outcome: _Outcome, vectors: Collection[str]) -> None:
        counters = self.counters
        counters.embeddings_made += len(vectors)
        for step in outcome.steps:
            embedded = step.after is not None and step.after.embedding_fingerprint in vectors
            counters.count_step(step, outcome.skipped, embedded=embedded)
        for refusal in outcome.refusals:
            counters.dead_letters[type(refusal.error).__name__] += 1
            place = str(refusal.record.place)
            self.health.errors.note(refusal.error, place=place)
            logger.warning(
                "record set aside", extra={"action": "set_aside", "place": place, "error": str(refusal.error)}
            )


def _operations(step: Step, received: Sequence[Received]) -> dict[Place, Operation]:
    """What happened to the row in each change of a step, by its place; nothing for a step that skipped none."""
    if not step.skipped:
        return {}
    return {item.change.place: item.change.operation for item in received if item.change}


async def _while_ours(publishing: Coroutine[Any, Any, object], lease: Lease) -> None:
    """Wait for it, but not beyond the lease: events that come late would stand behind those of the next owner."""
    task = asyncio.ensure_future(publishing)
    try:
        while not task.done():
            await asyncio.wait({task}, timeout=LEASE_LOOK_SECONDS)
            lease.check()
        await task
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait({task})


def _set_aside(outcome: _Outcome) -> list[tuple[Place, str]]:
    return [(refusal.record.place, "dead_letter") for refusal in outcome.refusals]


def _dead_letter(refusal: Refusal, attempts: int, now: datetime) -> DeadLetter:
    return DeadLetter(
        record=refusal.record,
        error_class=type(refusal.error).__name__,
        error=str(refusal.error),
        attempts=attempts,
        set_aside_at=now,
    )
