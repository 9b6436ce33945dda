"""Builds the worker's table again from the source topic, for when its changelog cannot be read or is gone.

The entries come from the same functions as the worker's, at the live collection's recipe, so that the next change of a
key is decided as if nothing had happened: a price alone costs no embedding, and a deleted row stays deleted.
"""

import asyncio
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace

from connectors.kafka import KafkaAdmin
from connectors.topic_reader import TopicReader, record_of
from connectors.topic_writer import NewRecord, write_records
from ops.settings import Settings
from ops.source import UNFINISHED, look_at_source, read_marks
from ops.stores import open_store
from schemas.errors import BrokerError, ErrorKind, ReplayError, SourceError
from schemas.indexed_row import IndexedRow
from schemas.product import Product
from schemas.recipe import Recipe
from schemas.record import Place, Record
from schemas.source_mark import SourceMark, source_mark_key
from streams.batch import decode_batch, fold, partition_of
from streams.source_identity import SourceTopic, SourceVerdict, judge_source
from streams.topics import APP_ID, CHANGELOG, DECLARATIONS, PRODUCT_CHANGES

PATIENCE_SECONDS = 5.0
"""How long the command waits for a broker that does not answer."""
LOOK_EVERY_SECONDS = 0.5
MARGIN_SECONDS = 5.0

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class TableRebuild:
    """What a rebuild came to. `keys` counts every entry, those of deleted rows among them."""

    records: int
    keys: int
    deleted: int
    incomplete: int
    """Keys with a record that was set aside after their last change: the next one is filled up from Postgres."""
    undecodable: int
    """Records that are passed over: they stand in the dead-letter topic."""
    written: bool
    seconds: float


@dataclass(slots=True, kw_only=True)
class TableBuilder:
    """Folds the records of the source topic into one entry per key, in memory."""

    recipe: Recipe
    epoch: int
    set_aside: Collection[Place] = ()
    entries: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    """Partition and entry, by key."""
    records: int = 0
    undecodable: int = 0

    async def add(self, records: Collection[Record]) -> None:
        """Take the next records, those of a partition in its order.

        Raises:
            SchemaMismatch: The topic's rows lack a column.
        """
        received, refusals = decode_batch(records, epoch=self.epoch, set_aside=self.set_aside)
        self.records += len(records)
        self.undecodable += len(refusals)
        for key, items in received.items():
            known = self.entries.get(key)
            before = IndexedRow.from_bytes(known[1]) if known and known[0] == partition_of(items) else None
            # The time of the log, not of this run: deletes are forgotten by their age.
            now_ms = items[-1].record.timestamp_ms
            step = await fold(key, items, before, self.recipe, rows=_NoPostgres(), now_ms=now_ms)
            self.undecodable += len(step.refused)
            after = step.after
            if after and step.refused:
                # The point may show what the log does not tell: without a fingerprint the next change writes it whole.
                after = replace(after, embedding_fingerprint="")
            if after is not None and after is not before:
                self.entries[key] = (step.partition, after.to_bytes())

    def report(self, *, written: bool, seconds: float) -> TableRebuild:
        """What has been taken up to now."""
        rows = [IndexedRow.from_bytes(value) for _, value in self.entries.values()]
        return TableRebuild(
            records=self.records,
            keys=len(rows),
            deleted=sum(row.deleted for row in rows),
            incomplete=sum(row.incomplete for row in rows),
            undecodable=self.undecodable,
            written=written,
            seconds=round(seconds, 1),
        )


class _NoPostgres:
    """No columns but the log's: a row of today would hide a change that the worker has yet to apply."""

    async def fetch_row(self, article_id: str) -> Product | None:
        """Refuse."""
        raise SourceError("the log does not carry the whole row", kind=ErrorKind.PERMANENT)


@dataclass(frozen=True, slots=True, kw_only=True)
class RebuildPlan:
    """Up to which offset each partition is read, and how it is marked then."""

    starts: Mapping[int, int]
    ends: Mapping[int, int]
    marks: Mapping[int, SourceMark]


def plan_rebuild(
    source: SourceTopic, committed: Mapping[int, int], marks: Mapping[int, SourceMark], *, epoch: int
) -> RebuildPlan:
    """Read what the worker has handled: from the low watermark to the committed offset.

    A topic made anew keeps the older mark and gives no entries: the worker has yet to read it from its beginning.

    Raises:
        SettingsError: The epoch does not count above an older topic, as for a worker.
        ReplayError: There are records, and the worker has committed no offset: the table would be empty.
    """
    ends: dict[int, int] = {}
    new_marks: dict[int, SourceMark] = {}
    for partition, low in source.low.items():
        mark = marks.get(partition)
        verdict = judge_source(
            mark,
            topic=source.name,
            topic_id=source.topic_id,
            epoch=epoch,
            newest=None,
            high=source.high[partition],
        )
        if mark and verdict is SourceVerdict.READ_ANEW:
            ends[partition], new_marks[partition] = low, mark
        else:
            ends[partition] = min(committed.get(partition, low), source.high[partition])
            new_marks[partition] = SourceMark(epoch=epoch, topic_id=source.topic_id)
    if not committed and any(source.high[partition] > low for partition, low in source.low.items()):
        raise ReplayError(
            f"group {APP_ID} has no committed offset on {source.name}: what the table held cannot be told",
            hint="start a worker instead: with no committed offsets it reads the topic from its beginning",
        )
    return RebuildPlan(starts=source.low, ends=ends, marks=new_marks)


async def rebuild_table(settings: Settings, *, dry_run: bool, say: Say) -> TableRebuild:
    """Read the source topic, then put a new changelog in the place of the old one. Safe to repeat.

    Holds one entry per key in memory. Killed after the old changelog is deleted, it must be run again: a worker that
    finds the new one unfinished says so and ends.

    Raises:
        BrokerError: A worker runs, or the broker cannot be reached or refuses.
        ReplayError: The worker has committed no offset.
        LockstepError: Another part cannot be reached.
    """
    started = time.monotonic()
    brokers = settings.kafka.brokers
    async with KafkaAdmin(brokers) as admin, open_store(settings) as store:
        await admin.wait_until_ready(PATIENCE_SECONDS)
        if not dry_run:
            await _until_no_worker(admin, settings.worker.session_timeout_seconds + MARGIN_SECONDS, say)
        live = await store.live_collection()
        plan = plan_rebuild(
            await look_at_source(admin),
            await admin.committed(APP_ID, PRODUCT_CHANGES),
            await read_marks(admin, brokers),
            epoch=settings.worker.epoch,
        )
        builder = TableBuilder(recipe=live.recipe, epoch=settings.worker.epoch, set_aside=settings.set_aside_places)
        say(f"reading {PRODUCT_CHANGES} up to the committed offsets")
        await _read(brokers, plan, builder)
        if not dry_run:
            # Anybody may have started one meanwhile.
            await _until_no_worker(admin, 0.0, say)
            say(f"writing {CHANGELOG} anew: {len(builder.entries):,} entries")
            await admin.delete(CHANGELOG)
            declared = [declaration for declaration in DECLARATIONS if declaration.name == CHANGELOG]
            await admin.apply(declared, replication=settings.kafka.replication)
            for records in new_changelog(builder.entries, plan.marks):
                await write_records(brokers, CHANGELOG, records)
    return builder.report(written=not dry_run, seconds=time.monotonic() - started)


async def _until_no_worker(admin: KafkaAdmin, patience_seconds: float, say: Say) -> None:
    """A worker that has been stopped stays in the group, by its name, until its session ends."""
    until = time.monotonic() + patience_seconds
    said = False
    while members := await admin.members(APP_ID):
        names = ", ".join(sorted(members))
        if time.monotonic() > until:
            raise BrokerError(
                f"workers are in the group {APP_ID}: {names}", kind=ErrorKind.OUTAGE, hint="stop every worker first"
            )
        if not said:
            say(f"waiting for the session of {names} to end")
            said = True
        await asyncio.sleep(LOOK_EVERY_SECONDS)  # the broker tells nobody


async def _read(brokers: str, plan: RebuildPlan, builder: TableBuilder) -> None:
    async with TopicReader(brokers, PRODUCT_CHANGES) as reader:
        async for messages in reader.read(plan.starts, plan.ends):
            # A few after the end may come too: the worker has not handled those.
            await builder.add([record_of(m) for m in messages if m.offset() < plan.ends[m.partition()]])


def new_changelog(
    entries: Mapping[str, tuple[int, bytes]], marks: Mapping[int, SourceMark]
) -> tuple[Iterable[NewRecord], ...]:
    """What is written into the empty changelog, in steps: each begins when the broker has confirmed the one before.

    From the first step to the last, no worker accepts the changelog: `SourceMark.from_bytes` refuses what stands in the
    mark's place, and the hint is to rebuild the table. Entries are partition and value, by key.
    """
    return (
        [_mark(partition, mark.to_bytes() + UNFINISHED) for partition, mark in marks.items()],
        (NewRecord(key=key.encode(), value=value, partition=partition) for key, (partition, value) in entries.items()),
        [_mark(partition, mark.to_bytes()) for partition, mark in marks.items()],
    )


def _mark(partition: int, value: bytes) -> NewRecord:
    return NewRecord(key=source_mark_key(partition), value=value, partition=partition)
