"""Whatever befalls a line of batches, it leaves behind what one record at a time does."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from random import Random
from typing import Any

import orjson
import pytest

from schemas.document import Vectors
from schemas.errors import BrokerError
from schemas.fanout_event import FanoutEvent, ProductIndexed
from schemas.indexed_row import IndexedRow
from schemas.record import Record
from streams import indexer, retry_policy
from tests.fakes.pipeline import CountingLease, Topic
from tests.unit.streams.test_batch_line import Worker

KEYS = ("A", "B", "C")
RECORDS = 60
MOST_STEPS = 20_000
"""A run takes about 4,000."""
MISHAPS = {"none": 960, "generation ends": 20, "records come again": 10, "killed": 5, "store is away": 5}
"""How often they befall a worker, in a thousand steps."""
NO_JSON = b"no json"
"""The value of a record that is set aside."""


class DisorderedWorker(Worker):
    """A worker whose store, broker and group do as chance will; `committed` is the group's committed offset."""

    def __init__(self, topic: Topic, chance: Random) -> None:
        super().__init__()
        self.topic = topic
        self.chance = chance
        self.committed = 0
        self.committed_too_early: list[str] = []
        self.position = 0
        self.offering: asyncio.Task[None] | None = None
        self._disturb()
        self.keeping = asyncio.create_task(self.line.keep())

    def _disturb(self) -> None:
        for name in ("upsert", "overwrite_payloads", "delete", "stored_points"):
            setattr(self.store, name, self._delayed(getattr(self.store, name)))
        for port, name in ((self.table, "put"), (self.dead, "publish"), (self.events, "publish")):
            setattr(port, name, self._delayed(getattr(port, name)))
        self.events.publish = self._refused_at_times(self.events.publish)  # type: ignore[method-assign]

    def _delayed(self, call: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def delayed(*arguments: Any) -> Any:
            await self._pause()
            result = await call(*arguments)
            await self._pause()
            return result

        return delayed

    def _refused_at_times(
        self, publish: Callable[[Sequence[FanoutEvent]], Awaitable[None]]
    ) -> Callable[[Sequence[FanoutEvent]], Awaitable[None]]:
        """A refusal may leave some of the events on their topics."""

        async def refused_at_times(events: Sequence[FanoutEvent]) -> None:
            if self.chance.random() >= 0.1:
                await publish(events)
                return
            await publish(events[: self.chance.randint(0, len(events))])
            raise BrokerError("cannot publish: refused by chance")

        return refused_at_times

    async def _pause(self) -> None:
        for _ in range(self.chance.randint(0, 12)):
            await asyncio.sleep(0)

    async def commit(self, offsets: Mapping[Any, int]) -> None:
        await self._pause()
        (offset,) = offsets.values()
        self.committed_too_early += [str(r.place) for r in self.topic.records[:offset] if not self._stands(r)]
        self.committed = offset
        await self._pause()

    def _stands(self, record: Record) -> bool:
        """In the table, or among the dead letters."""
        if record.value == NO_JSON:
            return str(record.place) in self.dead.places
        version = self.remembered(orjson.loads(record.key or b"")["article_id"])
        return version is not None and version >= record.place.offset

    async def step(self) -> None:
        """Let what is under way get on a little, and perhaps something befall it."""
        self._read_on()
        match self.chance.choices(list(MISHAPS), weights=list(MISHAPS.values()))[0]:
            case "generation ends":
                self._lose_the_generation()
            case "records come again":
                self._read_again()
            case "killed":
                await self.end()
                self._start()
            case "store is away":
                self.store.outages += self.chance.randint(1, 2)
        await asyncio.sleep(0)

    def _read_on(self) -> None:
        if self.offering is None or self.offering.done():
            records = self.topic.records[self.position :][: self.chance.randint(1, 3)]
            self.position += len(records)
            self.offering = asyncio.create_task(self.line.offer([self.event(record) for record in records]))

    def _lose_the_generation(self) -> None:
        self.generation += 1
        self.verification.generation = self.generation
        self._read_again()

    def _read_again(self) -> None:
        self.position = self.committed

    async def end(self) -> None:
        """As a process that is killed: whatever it was doing stays half done."""
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)

    def _start(self) -> None:
        self.generation += 1
        self.line = self.new_line()
        self.keeping = asyncio.create_task(self.line.keep())
        self.offering = None
        self._read_again()


def topic_of_changes(chance: Random) -> Topic:
    """Creates, updates and deletes of a few keys, and records that cannot be read."""
    topic = Topic()
    alive: set[str] = set()
    while len(topic.records) < RECORDS:
        key, luck = chance.choice(KEYS), chance.random()
        columns = {"price": f"{chance.randint(1, 5)}.00", "name": chance.choice(("Belt", "Boot"))}
        if luck < 0.08:
            topic.append(key, NO_JSON)
        elif key not in alive:
            alive.add(key)
            topic.create(key, **columns)
        elif luck < 0.2:
            alive.remove(key)
            topic.delete(key)
            topic.tombstone(key)
        else:
            topic.update(key, **columns)
    return topic


async def one_at_a_time(records: Sequence[Record]) -> Worker:
    """What a worker without any line leaves behind."""
    worker = Worker()
    for record in records:
        await worker.indexer.apply([record], CountingLease())
    return worker


async def in_disorder(topic: Topic, chance: Random, seed: int) -> Worker:
    """What a line leaves behind once all is committed, nothing of it too early."""
    worker = DisorderedWorker(topic, chance)
    for _ in range(MOST_STEPS):
        await worker.step()
        assert not worker.committed_too_early, f"seed {seed}: committed too early: {worker.committed_too_early}"
        assert not worker.stopped, f"seed {seed}: the worker stopped: {worker.stopped}"
        if worker.committed == len(topic.records):
            await worker.end()
            return worker
    pytest.fail(f"seed {seed}: the line stands still at offset {worker.committed}")


def found(worker: Worker) -> dict[str, tuple[dict[str, Any], Vectors]]:
    """The rows and vectors by key.

    The provenance is left out: of changes that leave the row as it was, it names the last one of its batch.
    """
    return {
        key: ({name: value for name, value in point.payload.items() if name != "_lockstep"}, point.vectors)
        for key, point in worker.store.points.items()
    }


def remembered(worker: Worker) -> dict[str, IndexedRow]:
    """The table by key.

    `incomplete` is left out: a record that was set aside, and comes again without those behind it, sets it once more.
    """
    return {key: replace(IndexedRow.from_bytes(entry), incomplete=False) for key, entry in worker.table.entries.items()}


def told(worker: Worker, seed: int) -> list[tuple[str, bytes]]:
    """Every event once, by id and in the order in which readers first saw them; a repeat says the same.

    `indexed` is left out: how many there are depends on the batches.
    """
    first: dict[str, bytes] = {}
    for event in worker.events.events:
        if event.model is not ProductIndexed:
            assert first.setdefault(event.id, event.body) == event.body, f"seed {seed}: {event.id} was told otherwise"
    return list(first.items())


@pytest.fixture(autouse=True)
def _no_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A seed gives the same run wherever it runs."""
    monkeypatch.setattr(retry_policy, "FIRST_WAIT_SECONDS", 0)
    monkeypatch.setattr(retry_policy, "LONGEST_WAIT_SECONDS", 0)
    monkeypatch.setattr(indexer, "LEASE_LOOK_SECONDS", 0)


@pytest.mark.parametrize("seed", range(12), ids="seed {}".format)
async def test_promise_1_line_in_disorder_leaves_what_one_record_at_a_time_does(seed: int) -> None:
    """The law of the line.

    Whatever the delays, refusals, generations and kills: nothing is committed before it stands in the table or among
    the dead letters, and at the end points, table and events are those of a run of one record at a time.
    """
    chance = Random(seed)
    topic = topic_of_changes(chance)
    wanted = await one_at_a_time(topic.records)
    worker = await in_disorder(topic, chance, seed)
    assert found(worker) == found(wanted), f"seed {seed}: points"
    assert remembered(worker) == remembered(wanted), f"seed {seed}: table"
    assert told(worker, seed) == told(wanted, seed), f"seed {seed}: events"
