"""Ghosts: what an upsert in flight revives after a delete, and what removes it."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import NoReturn

import pytest

from schemas.collection import LiveCollection
from schemas.document import Deletion, Document
from schemas.errors import ErrorKind, VectorStoreError
from schemas.recipe import Recipe
from schemas.record import Record
from streams import late_deletes
from streams.counters import Counters
from streams.health import Health
from streams.indexer import Indexer
from streams.late_deletes import LateDeletes
from streams.ports import LeaseLostError
from tests.fakes.pipeline import NOW, CountingLease, FakeEmbedder, InMemoryTable, ListOfDeadLetters, RowsInMemory, Topic
from tests.fakes.vector_store import FaultyVectorStore

NOW_MS = int(NOW.timestamp() * 1000)
DELAY = 10.0 + 3.0 + late_deletes.MARGIN_SECONDS


class StoppedError(Exception):
    """Stands for the end of the process."""


def stop(reason: str) -> NoReturn:
    raise StoppedError(reason)


@dataclass
class HeldVectorStore(FaultyVectorStore):
    """An upsert that is to be held arrives only when it is released, whatever happens to its sender meanwhile."""

    hold: bool = False
    sent: asyncio.Event = field(default_factory=asyncio.Event)
    released: asyncio.Event = field(default_factory=asyncio.Event)
    deletions: list[Deletion] = field(default_factory=list)
    error: Exception | None = None

    async def upsert(self, collection: str, documents: Sequence[Document]) -> None:
        if self.hold:
            self.hold = False
            self.sent.set()
            await self.released.wait()
        await super().upsert(collection, documents)

    async def delete(self, collection: str, deletions: Sequence[Deletion]) -> None:
        if self.error:
            raise self.error
        if bad := self.reject & {d.key for d in deletions}:
            raise VectorStoreError(f"qdrant refused {sorted(bad)}", kind=ErrorKind.PERMANENT)
        await super().delete(collection, deletions)
        self.deletions += deletions


@dataclass
class Table(InMemoryTable):
    """Also what late deletes ask of a table."""

    recoveries: int = 0
    dropped: list[int] = field(default_factory=list)
    asked_since: list[int] = field(default_factory=list)

    async def deleted_since(self, since_ms: int) -> dict[str, int]:
        self.asked_since.append(since_ms)
        rows = {key: row for key in self.entries if (row := self.get(key))}
        return {k: row.applied_at_ms for k, row in rows.items() if row.deleted and row.applied_at_ms >= since_ms}

    async def drop_deleted(self, before_ms: int) -> int:
        self.dropped.append(before_ms)
        return 0


@dataclass
class Worker:
    """A worker with a table of its own, by a clock that the test turns."""

    store: HeldVectorStore
    table: Table = field(default_factory=Table)
    seconds: float = 0.0
    late: LateDeletes = field(init=False)

    def __post_init__(self) -> None:
        self.late = LateDeletes(
            store=self.store,
            table=self.table,
            session_timeout_seconds=10.0,
            request_timeout_seconds=3.0,
            stop=stop,
            clock=lambda: self.seconds,
            wall_clock_ms=lambda: NOW_MS + round(self.seconds * 1000),
        )

    async def apply(self, *records: Record, lease: CountingLease | None = None) -> None:
        indexer = Indexer(
            store=self.store,
            embedders=FakeEmbedder(),
            rows=RowsInMemory(),
            table=self.table,
            dead_letters=ListOfDeadLetters(),
            health=Health(),
            counters=Counters(),
            clock=lambda: NOW,
        )
        await indexer.apply(records, lease or CountingLease())

    async def look_after(self, seconds: float) -> None:
        self.seconds += seconds
        await self.late.look()


@pytest.fixture
def store() -> HeldVectorStore:
    return HeldVectorStore()


@pytest.fixture
def topic() -> Topic:
    return Topic()


@pytest.fixture
def worker(store: HeldVectorStore) -> Worker:
    return Worker(store)


async def revive(store: HeldVectorStore, topic: Topic, worker: Worker) -> None:
    """A worker that loses its partition has an upsert in flight, which lands after the delete of the new owner."""
    insert, delete, tombstone = topic.create("A1"), topic.delete("A1"), topic.tombstone("A1")
    store.hold = True
    zombie = asyncio.create_task(Worker(store).apply(insert, lease=CountingLease(ends_at=3)))
    await store.sent.wait()
    await worker.apply(insert)
    await worker.apply(delete)
    worker.late.note(["A1"])
    await worker.apply(tombstone)  # a batch later it raises the entry's version, and writes nothing
    assert store.points == {}
    store.released.set()
    with pytest.raises(LeaseLostError):
        await zombie


async def test_promise_2_late_delete_removes_what_a_write_in_flight_revived(
    store: HeldVectorStore, topic: Topic, worker: Worker
) -> None:
    await revive(store, topic, worker)
    assert list(store.points) == ["A1"], "the hazard is gone: are late deletes still needed?"
    await worker.look_after(DELAY - 0.1)
    assert list(store.points) == ["A1"]
    await worker.look_after(0.1)
    assert store.points == {}
    assert worker.late.waiting == 0


async def test_promise_2_new_owner_removes_what_a_write_in_flight_revived(
    store: HeldVectorStore, topic: Topic, worker: Worker
) -> None:
    await revive(store, topic, worker)
    heir = Worker(store, replace(worker.table, recoveries=1), seconds=4.0)
    await heir.look_after(0)
    assert heir.late.waiting == 1
    await heir.look_after(DELAY - 4.1)
    assert list(store.points) == ["A1"]
    await heir.look_after(0.2)
    assert store.points == {}


async def test_repeat_that_fell_due_while_the_partition_moved_is_made_up_for(
    store: HeldVectorStore, topic: Topic, worker: Worker
) -> None:
    await revive(store, topic, worker)
    heir = Worker(store, replace(worker.table, recoveries=1))
    await heir.look_after(1.5 * DELAY)
    assert store.points == {}


async def test_deletes_of_long_ago_are_left_alone_at_an_assignment(
    store: HeldVectorStore, topic: Topic, worker: Worker
) -> None:
    await revive(store, topic, worker)
    heir = Worker(store, replace(worker.table, recoveries=1))
    await heir.look_after(late_deletes.RECENT_MS / 1000 + 1)
    assert heir.late.waiting == 0


async def test_promise_2_repeat_is_made_up_for_after_no_worker_ran_for_minutes(
    store: HeldVectorStore, topic: Topic, worker: Worker
) -> None:
    await revive(store, topic, worker)
    heir = Worker(store, replace(worker.table, recoveries=1))
    await heir.look_after(600)
    assert store.points == {}


async def test_clock_of_another_worker_that_is_ahead_delays_no_repeat(
    store: HeldVectorStore, topic: Topic, worker: Worker
) -> None:
    await revive(store, topic, worker)
    heir = Worker(store, replace(worker.table, recoveries=1), seconds=-3600.0)
    await heir.look_after(0)
    await heir.look_after(DELAY)
    assert store.points == {}


async def test_table_is_searched_once_a_recovery(worker: Worker) -> None:
    await worker.look_after(0)
    assert worker.table.asked_since == []
    worker.table.recoveries = 1
    await worker.look_after(1)
    await worker.look_after(1)
    assert len(worker.table.asked_since) == 1
    worker.table.recoveries = 3
    await worker.look_after(1)
    assert len(worker.table.asked_since) == 2


async def test_row_that_came_back_is_not_deleted_again(store: HeldVectorStore, topic: Topic, worker: Worker) -> None:
    await worker.apply(topic.create("A1"))
    await worker.apply(topic.delete("A1"))
    worker.late.note(["A1"])
    await worker.apply(topic.create("A1"))
    await worker.look_after(DELAY)
    assert list(store.points) == ["A1"]
    assert len(store.deletions) == 1
    assert worker.late.waiting == 0


async def test_key_of_a_partition_that_left_is_not_written(
    store: HeldVectorStore, topic: Topic, worker: Worker
) -> None:
    await revive(store, topic, worker)
    worker.table.entries.clear()
    await worker.look_after(DELAY)
    assert list(store.points) == ["A1"]
    assert worker.late.waiting == 0


async def test_key_deleted_twice_is_repeated_after_the_later_delete_and_keeps_nobody_waiting(
    store: HeldVectorStore, topic: Topic, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(late_deletes, "REQUEST_DELETES", 1)
    await worker.apply(topic.delete("A1"), topic.delete("A2"))
    worker.late.note(["A1", "A2"])
    worker.seconds = DELAY - 1
    worker.late.note(["A1"])
    store.deletions.clear()
    await worker.look_after(1)
    assert [d.key for d in store.deletions] == ["A2"]
    await worker.look_after(DELAY)
    assert [d.key for d in store.deletions] == ["A2", "A1"]


async def test_outage_keeps_the_repeats_until_it_passes(
    store: HeldVectorStore, topic: Topic, worker: Worker, caplog: pytest.LogCaptureFixture
) -> None:
    await revive(store, topic, worker)
    store.outages = 3
    for _ in range(3):
        await worker.look_after(DELAY)
        assert (list(store.points), worker.late.waiting) == (["A1"], 1)
    assert [r.levelno for r in caplog.records if getattr(r, "action", "") == "late_deletes_wait"] == [logging.WARNING]
    await worker.look_after(1)
    assert store.points == {}


async def test_repeats_go_to_the_collection_behind_the_alias_of_that_moment(
    store: HeldVectorStore, topic: Topic, worker: Worker
) -> None:
    await revive(store, topic, worker)
    store.live = LiveCollection(name="products-2", recipe=Recipe())
    await worker.look_after(DELAY)
    assert store.points == {}


async def test_many_repeats_go_in_parts_and_a_refused_one_takes_none_with_it(
    store: HeldVectorStore, topic: Topic, worker: Worker, caplog: pytest.LogCaptureFixture
) -> None:
    keys = [f"A{number}" for number in range(late_deletes.REQUEST_DELETES + 10)]
    await worker.apply(*(topic.delete(key) for key in keys))
    worker.late.note(keys)
    store.deletions.clear()
    store.reject = {"A7"}
    await worker.look_after(DELAY)
    assert {d.key for d in store.deletions} == set(keys) - {"A7"}
    assert worker.late.waiting == 0
    assert [r.__dict__["key"] for r in caplog.records if getattr(r, "action", "") == "late_delete_refused"] == ["A7"]


async def test_beyond_the_limit_the_oldest_are_repeated_before_their_time(
    store: HeldVectorStore, topic: Topic, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(late_deletes, "MOST_WAITING", 5)
    keys = [f"A{number}" for number in range(8)]
    await worker.apply(*(topic.delete(key) for key in keys))
    store.deletions.clear()
    worker.late.note(keys)
    await worker.look_after(0)
    assert [d.key for d in store.deletions] == keys[:3]
    assert worker.late.waiting == 5


async def test_delete_noted_while_its_repeat_is_under_way_still_waits(
    store: HeldVectorStore, topic: Topic, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    await worker.apply(topic.delete("A1"))
    worker.late.note(["A1"])

    async def live_collection() -> LiveCollection:
        worker.late.note(["A1"])
        return store.live

    monkeypatch.setattr(store, "live_collection", live_collection)
    await worker.look_after(DELAY)
    assert worker.late.waiting == 1


async def test_deletes_older_than_30_days_are_dropped_once_an_hour_after_the_recovery(worker: Worker) -> None:
    month_ms = 30 * 24 * 3600 * 1000
    await worker.look_after(0)
    assert worker.table.dropped == []
    worker.table.recoveries = 1
    await worker.look_after(0)
    await worker.look_after(3599)
    assert worker.table.dropped == [NOW_MS - month_ms]
    await worker.look_after(1)
    assert worker.table.dropped == [NOW_MS - month_ms, NOW_MS - month_ms + 3_600_000]


async def test_it_looks_again_and_again_until_an_unknown_error_stops_the_process(
    store: HeldVectorStore, topic: Topic, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(late_deletes, "LOOK_EVERY_SECONDS", 0)
    await revive(store, topic, worker)
    keeping = asyncio.create_task(worker.late.keep())
    worker.seconds = DELAY
    async with asyncio.timeout(5):
        while store.points:
            await asyncio.sleep(0)
    worker.late.note(["A1"])
    store.error = ValueError("who knows")
    worker.seconds = 2 * DELAY
    with pytest.raises(StoppedError, match="ValueError: who knows"):
        await keeping


async def test_it_ends_quietly_when_the_worker_stops(worker: Worker) -> None:
    keeping = asyncio.create_task(worker.late.keep())
    await asyncio.sleep(0)
    keeping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await keeping
