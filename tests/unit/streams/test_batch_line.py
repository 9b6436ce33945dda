"""Two batches at a time: what is written while the one in front is confirmed, and what a new generation does then."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest

from schemas.fanout_event import FanoutEvent, PriceChanged
from schemas.record import Record
from streams import retry_policy
from streams.batch_line import BatchLine
from streams.counters import Counters
from streams.health import Health
from streams.indexer import Indexer
from streams.lease import Pulse
from streams.source_marks import Verification
from tests.fakes.events import ListOfEvents
from tests.fakes.pipeline import NOW, FakeEmbedder, InMemoryTable, ListOfDeadLetters, RowsInMemory, Topic
from tests.fakes.vector_store import FaultyVectorStore


class StoppedError(BaseException):
    """The process ended itself."""


class SlowEvents(ListOfEvents):
    """Confirms events while `confirming` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.confirming = asyncio.Event()
        self.confirming.set()
        self.asked = 0

    async def publish(self, events: Sequence[FanoutEvent]) -> None:
        self.asked += 1
        await self.confirming.wait()
        await super().publish(events)


class Worker:
    """A line of batches among fakes; `generation` is the group's."""

    def __init__(self) -> None:
        self.topic = Topic()
        self.store = FaultyVectorStore()
        self.table = InMemoryTable()
        self.events = SlowEvents()
        self.dead = ListOfDeadLetters()
        self.health = Health()
        self.generation = 1
        self.commits: list[int] = []
        self.acknowledged: list[int] = []
        self.stopped: list[str] = []
        self.refuse_commit: Exception | None = None
        self.may_commit = asyncio.Event()
        self.may_commit.set()
        self.events_wanted = True
        self.embedder = FakeEmbedder()
        self.behind: asyncio.Task[None] | None = None
        self.line = self.new_line()

    def new_line(self) -> BatchLine:
        """As a worker that was started has it: nothing is under way."""
        verification = Verification()
        verification.generation = self.generation
        self.verification = verification
        self.indexer = Indexer(
            store=self.store,
            embedders=self.embedder,
            rows=RowsInMemory(),
            table=self.table,
            dead_letters=self.dead,
            health=self.health,
            counters=Counters(),
            events=self.events if self.events_wanted else None,
            clock=lambda: NOW,
        )
        return BatchLine(
            indexer=self.indexer,
            pulse=Pulse(limit_seconds=3600, stop=self.stop),
            verification=verification,
            current_generation=lambda: self.generation,
            commit=self.commit,
            stop=self.stop,
            batch_records=3,
        )

    def stop(self, reason: str) -> NoReturn:
        self.stopped.append(reason)
        raise StoppedError(reason)

    async def commit(self, offsets: Mapping[Any, int]) -> None:
        if self.refuse_commit:
            raise self.refuse_commit
        await self.may_commit.wait()
        self.commits += offsets.values()

    async def take(self, *records: Record) -> None:
        await self.line.take([self.event(record) for record in records])

    def event(self, record: Record) -> Any:
        place = record.place
        message = SimpleNamespace(
            topic=place.topic,
            partition=place.partition,
            offset=place.offset,
            tp=(place.topic, place.partition),
            key=record.key,
            value=record.value,
            headers=record.headers,
            timestamp=1.0 + place.offset,
            generation_id=self.generation,
        )
        return SimpleNamespace(message=message, ack=lambda: self.acknowledged.append(place.offset))

    def price(self, key: str = "A") -> str | None:
        """What searches show."""
        point = self.store.points.get(key)
        return point and point.payload["price_text"]

    def remembered(self, key: str = "A") -> int | None:
        """The version in the table."""
        entry = self.table.get(key)
        return entry and entry.version

    def prices(self) -> list[tuple[str | None, str | None]]:
        return [(e.old_price, e.new_price) for e in self.events.of(PriceChanged)]


@pytest.fixture
def w(monkeypatch: pytest.MonkeyPatch) -> Worker:
    monkeypatch.setattr(retry_policy, "FIRST_WAIT_SECONDS", 0.0001)
    monkeypatch.setattr(retry_policy, "LONGEST_WAIT_SECONDS", 0.001)
    return Worker()


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0)


async def settle(w: Worker) -> None:
    """Until nothing is under way; the line takes batches afterwards, too."""
    await until(lambda: not w.indexer.in_progress)


async def under_way(w: Worker) -> None:
    """A is indexed at 1.00; a change to 2.00 waits for its events, one to 3.00 is written behind it."""
    await w.take(w.topic.create("A", price="1.00"))
    await settle(w)
    w.events.confirming.clear()
    await w.take(w.topic.update("A", price="2.00"))
    await until(lambda: w.events.asked == 2)
    w.behind = asyncio.create_task(w.take(w.topic.update("A", price="3.00")))
    await until(lambda: w.price() == "3.00")


async def test_promise_1_nothing_is_committed_before_what_stands_in_front_of_it(w: Worker) -> None:
    await under_way(w)
    assert (w.remembered(), w.commits, w.acknowledged, w.prices()) == (0, [1], [0], [])
    w.events.confirming.set()
    await w.behind
    await settle(w)
    assert (w.remembered(), w.commits, w.acknowledged) == (2, [1, 2, 3], [0, 1, 2])
    assert w.prices() == [("1.00", "2.00"), ("2.00", "3.00")]
    assert w.table.writes[-2].row.version == 1


async def test_promise_3_batch_is_planned_on_the_one_in_front_of_it(w: Worker) -> None:
    w.events.confirming.clear()
    await w.take(w.topic.create("A", name="Belt"))
    second = asyncio.create_task(w.take(w.topic.update("A", name="Belt", price="2.00")))
    await until(lambda: w.price() == "2.00")
    assert len(w.embedder.embedded) == 1
    assert "stored_points" not in w.store.calls[w.store.calls.index("overwrite_payloads") + 2 :]
    w.events.confirming.set()
    await second


async def test_no_third_batch_is_begun_before_the_first_is_committed(w: Worker) -> None:
    await under_way(w)
    third = asyncio.create_task(w.take(w.topic.update("A", price="4.00")))
    for _ in range(50):
        await asyncio.sleep(0)
    assert w.price() == "3.00"
    w.events.confirming.set()
    await third
    assert w.price() == "4.00"


async def test_batch_that_is_dropped_takes_the_next_along(w: Worker) -> None:
    await under_way(w)
    w.generation = 2
    w.events.confirming.set()
    await w.behind
    await settle(w)
    assert (w.remembered(), w.commits) == (0, [1])


async def test_promise_1_dropped_batches_give_the_same_when_they_come_again(w: Worker) -> None:
    await under_way(w)
    w.generation = 2
    w.events.confirming.set()
    await w.behind
    await settle(w)
    w.events.events.clear()
    w.verification.generation = 2
    await w.take(*w.topic.records[1:])
    await settle(w)
    assert (w.price(), w.remembered(), w.commits[-1]) == ("3.00", 2, 3)
    assert w.prices() == [("1.00", "2.00"), ("2.00", "3.00")]


async def test_next_generation_does_not_build_on_a_batch_that_may_be_dropped(w: Worker) -> None:
    await w.take(w.topic.create("A", price="1.00"))
    await settle(w)
    w.events.confirming.clear()
    await w.take(w.topic.update("A", price="2.00"))
    await until(lambda: w.events.asked == 2)
    w.generation = w.verification.generation = 2
    again = asyncio.create_task(w.take(w.topic.records[1], w.topic.update("A", price="3.00")))
    for _ in range(50):
        await asyncio.sleep(0)
    w.events.confirming.set()
    await again
    await settle(w)
    # Planned on the dropped batch, the first change would be skipped as redelivered, and not told again.
    assert w.prices() == [("1.00", "2.00"), ("1.00", "2.00"), ("2.00", "3.00")]
    assert w.remembered() == 2


async def test_batch_is_planned_on_one_that_became_the_front_meanwhile(w: Worker) -> None:
    await under_way(w)
    first, w.events.confirming = w.events.confirming, asyncio.Event()
    first.set()
    await w.behind
    await until(lambda: w.events.asked == 3)
    last = asyncio.create_task(w.take(w.topic.update("A", price="4.00")))
    await until(lambda: w.price() == "4.00")
    w.events.confirming.set()
    await last
    await settle(w)
    assert w.prices() == [("1.00", "2.00"), ("2.00", "3.00"), ("3.00", "4.00")]


async def test_batch_whose_partitions_left_while_it_waited_reaches_no_table(w: Worker) -> None:
    w.events_wanted = False
    w.line = w.new_line()
    w.may_commit.clear()
    await w.take(w.topic.create("A", price="1.00"))
    await until(lambda: w.remembered() == 0)
    behind = asyncio.create_task(w.take(w.topic.update("A", price="2.00")))
    await until(lambda: w.price() == "2.00")
    w.generation = 2
    w.may_commit.set()
    await behind
    await settle(w)
    assert w.remembered() == 0


async def test_batch_whose_partitions_left_at_the_last_moment_is_not_committed(
    w: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = w.table.put

    async def put_and_lose(entries: Any) -> None:
        await put(entries)
        w.generation = 2

    monkeypatch.setattr(w.table, "put", put_and_lose)
    await w.take(w.topic.create("A"))
    await settle(w)
    assert (w.commits, w.acknowledged) == ([], [])


async def test_promise_1_worker_killed_with_two_batches_under_way_loses_nothing(w: Worker) -> None:
    await under_way(w)
    w.events = SlowEvents()
    w.line = w.new_line()
    await w.take(*w.topic.records[1:])
    await settle(w)
    assert (w.price(), w.remembered(), w.commits[-1]) == ("3.00", 2, 3)
    assert w.prices() == [("1.00", "2.00"), ("2.00", "3.00")]


async def test_rest_waits_for_what_is_under_way_and_lets_nothing_begin(w: Worker) -> None:
    w.events.confirming.clear()
    await w.take(w.topic.create("A", price="1.00"))
    resting = asyncio.create_task(w.line.rest())
    await asyncio.sleep(0)
    late = asyncio.create_task(w.take(w.topic.create("B")))
    assert not resting.done()
    w.events.confirming.set()
    await resting
    assert w.commits == [1]
    assert w.price("B") is None
    late.cancel()


async def test_unknown_error_of_a_commit_stops_the_worker(w: Worker) -> None:
    w.refuse_commit = RuntimeError("nobody knows")
    w.stop = lambda reason: w.stopped.append(reason)  # type: ignore[method-assign, assignment]
    w.line = w.new_line()
    await w.take(w.topic.create("A"))
    await until(lambda: w.stopped)
    assert w.stopped == ["RuntimeError: nobody knows"]
    assert w.acknowledged == []


async def test_promise_1_what_ends_as_cancelled_is_not_passed_over(w: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    async def cancelled(_: object) -> None:
        raise asyncio.CancelledError  # as Faust passes on what befell its consumer's thread

    w.stop = lambda reason: w.stopped.append(reason)  # type: ignore[method-assign, assignment]
    w.line = w.new_line()
    monkeypatch.setattr(w.dead, "publish", cancelled)
    await w.take(w.topic.append("A", b"no json"))
    await until(lambda: w.stopped)
    assert w.commits == []


async def test_write_that_ends_as_cancelled_stops_the_worker(w: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    async def cancelled(*_: object) -> None:
        raise asyncio.CancelledError

    w.stop = lambda reason: w.stopped.append(reason)  # type: ignore[method-assign, assignment]
    w.line = w.new_line()
    monkeypatch.setattr(w.store, "upsert", cancelled)
    await w.line.offer([w.event(w.topic.create("A"))])
    with pytest.raises(asyncio.CancelledError):
        await w.line.keep()
    assert w.stopped == ["CancelledError: "]


async def test_end_of_the_line_itself_stops_nothing(w: Worker) -> None:
    keeping = asyncio.create_task(w.line.keep())
    await asyncio.sleep(0)
    keeping.cancel()
    await asyncio.wait({keeping})
    assert w.stopped == []


async def test_outage_of_one_batch_is_shown_when_the_one_in_front_gets_on(w: Worker) -> None:
    await w.take(w.topic.create("A", price="1.00"))
    await settle(w)
    w.events.confirming.clear()
    await w.take(w.topic.update("A", price="2.00"))
    w.store.outages = 10**9
    held = asyncio.create_task(w.take(w.topic.update("A", price="3.00")))
    await until(lambda: w.health.held_reason)
    w.events.confirming.set()
    await until(lambda: len(w.commits) == 2)
    assert w.health.held_reason is not None
    w.store.outages = 0
    await held
    assert w.health.held_reason is None


async def test_batch_is_what_came_while_the_one_before_it_was_written(w: Worker) -> None:
    keeping = asyncio.create_task(w.line.keep())
    w.events.confirming.clear()
    await w.line.offer([w.event(w.topic.create("A", price="1.00"))])
    await until(lambda: w.price() == "1.00")
    await w.line.offer([w.event(w.topic.update("A", price="2.00"))])
    await until(lambda: w.price() == "2.00")
    for price in ("3.00", "4.00", "5.00"):
        await w.line.offer([w.event(w.topic.update("A", price=price))])
    w.events.confirming.set()
    await until(lambda: len(w.acknowledged) == 5)
    assert w.commits == [1, 2, 5]
    assert w.prices() == [("1.00", "2.00"), ("2.00", "3.00"), ("3.00", "4.00"), ("4.00", "5.00")]
    keeping.cancel()


async def test_no_more_is_taken_in_than_a_batch_that_waits(w: Worker) -> None:
    w.events.confirming.clear()
    offers = [asyncio.create_task(w.line.offer([w.event(w.topic.create(f"A{n}"))])) for n in range(9)]
    for _ in range(50):
        await asyncio.sleep(0)
    assert sum(offer.done() for offer in offers) == 3
    w.events.confirming.set()
    keeping = asyncio.create_task(w.line.keep())
    await asyncio.gather(*offers)
    await until(lambda: w.acknowledged == list(range(9)))
    keeping.cancel()


async def test_unknown_error_while_a_batch_is_written_stops_the_worker(
    w: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> None:
        raise RuntimeError("nobody knows")

    monkeypatch.setattr(w.store, "upsert", fail)
    w.stop = lambda reason: w.stopped.append(reason)  # type: ignore[method-assign, assignment]
    w.line = w.new_line()
    await w.line.offer([w.event(w.topic.create("A"))])
    with pytest.raises(RuntimeError):
        await w.line.keep()
    assert w.stopped == ["RuntimeError: nobody knows"]
    assert w.acknowledged == []
