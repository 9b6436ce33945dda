"""When the indexer publishes events, and what a repeat of them looks like."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.dead_letter import DeadLetter
from schemas.document import Document
from schemas.fanout_event import FanoutEvent, PriceChanged, ProductChanged, ProductIndexed, ProductRemoved
from schemas.record import Record
from streams import indexer as indexer_module
from streams import retry_policy
from streams.counters import Counters
from streams.health import Health
from streams.indexer import Indexer
from streams.ports import LeaseLostError, TableEntry
from tests.fakes.events import ListOfEvents
from tests.fakes.pipeline import (
    NOW,
    CountingLease,
    FakeEmbedder,
    InMemoryTable,
    ListOfDeadLetters,
    RowsInMemory,
    Topic,
)
from tests.fakes.vector_store import FaultyVectorStore


class KilledError(Exception):
    """The process is gone."""


@dataclass
class Pipeline:
    """An indexer among fakes that notes in which order they are called. `kill_at` is killed before its effect."""

    topic: Topic = field(default_factory=Topic)
    effects: list[str] = field(default_factory=list)
    kill_at: str | None = None
    seconds: int = 0

    def __post_init__(self) -> None:
        self.store = _Store(self)
        self.table = _Table(self)
        self.dead = _Dead(self)
        self.events = _Events(self)
        self.counters = Counters()
        self.health = Health()

    async def apply(self, *records: Record, lease: CountingLease | None = None) -> None:
        self.seconds += 1
        indexer = Indexer(
            store=self.store,
            embedders=FakeEmbedder(),
            rows=RowsInMemory(),
            table=self.table,
            dead_letters=self.dead,
            health=self.health,
            counters=self.counters,
            events=self.events,
            clock=lambda: NOW + timedelta(seconds=self.seconds),
        )
        await indexer.apply(records, lease or CountingLease())

    async def apply_and_die(self, *records: Record, at: str) -> None:
        self.kill_at = at
        try:
            with pytest.raises(KilledError):
                await self.apply(*records)
        finally:
            self.kill_at = None

    def take(self, effect: str) -> None:
        if effect == self.kill_at:
            raise KilledError
        self.effects.append(effect)


@dataclass
class _Store(FaultyVectorStore):
    def __init__(self, p: Pipeline) -> None:
        super().__init__()
        self.p = p

    async def upsert(self, collection: str, documents: Sequence[Document]) -> None:
        await super().upsert(collection, documents)
        self.p.take("points")


class _Table(InMemoryTable):
    def __init__(self, p: Pipeline) -> None:
        super().__init__()
        self.p = p

    async def put(self, entries: Sequence[TableEntry]) -> None:
        self.p.take("table")
        await super().put(entries)


class _Dead(ListOfDeadLetters):
    def __init__(self, p: Pipeline) -> None:
        super().__init__()
        self.p = p

    async def publish(self, letters: Sequence[DeadLetter]) -> None:
        self.p.take("dead letters")
        await super().publish(letters)


class _Events(ListOfEvents):
    def __init__(self, p: Pipeline) -> None:
        super().__init__()
        self.p = p
        self.troubles: list[str | None] = []
        self.hangs = False
        self.abandoned = False

    async def publish(self, events: Sequence[FanoutEvent]) -> None:
        if self.hangs:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.abandoned = True
                raise
        self.troubles.append(self.p.health.trouble())
        assert self.p.health.confirming_since is not None
        self.p.take("events")
        await super().publish(events)


@pytest.fixture
def p() -> Pipeline:
    return Pipeline()


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry_policy, "FIRST_WAIT_SECONDS", 0.0001)
    monkeypatch.setattr(retry_policy, "LONGEST_WAIT_SECONDS", 0.001)
    monkeypatch.setattr(indexer_module, "LEASE_LOOK_SECONDS", 0.01)


def shown(event: FanoutEvent) -> tuple[str, Any]:
    """An event's id and body, without what may differ in a repeat."""
    body = orjson.loads(event.body)
    body.pop("searchable_at", None)
    return event.id, body


async def test_events_follow_points_and_dead_letters_and_precede_the_table(p: Pipeline) -> None:
    await p.apply(p.topic.create("A"), p.topic.append("B", b"{"))
    assert p.effects == ["points", "dead letters", "events", "table"]


async def test_promise_1_crash_between_events_and_table_repeats_the_same_events(p: Pipeline) -> None:
    await p.apply(p.topic.create("A", price="1.00"))
    first = len(p.events.events)
    batch = [p.topic.update("A", price="2.00"), p.topic.update("A", price="3.00"), p.topic.create("B")]
    await p.apply_and_die(*batch, at="table")
    once = p.events.events[first:]
    await p.apply(*batch)
    again = p.events.events[first + len(once) :]
    assert len(once) == 7
    assert [shown(event) for event in again] == [shown(event) for event in once]
    searchable = [event.data.searchable_at for event in p.events.events if isinstance(event.data, ProductIndexed)]
    assert searchable[-1] == "2026-11-20T10:00:03.000000Z"


@pytest.mark.parametrize("at", ["points", "dead letters", "events"])
async def test_promise_1_crash_before_the_events_are_out_publishes_them_later(p: Pipeline, at: str) -> None:
    batch = [p.topic.create("A"), p.topic.append("B", b"{")]
    await p.apply_and_die(*batch, at=at)
    assert p.events.events == []
    await p.apply(*batch)
    assert len(p.events.of(ProductChanged)) == 1


async def test_promise_1_broker_that_refuses_an_event_holds_the_batch(p: Pipeline) -> None:
    p.events.refusals = 5
    await p.apply(p.topic.create("A"))
    assert p.effects == ["points", *["events"] * 6, "table"]
    assert len(p.events.of(ProductChanged)) == 1
    assert p.dead.letters == []
    assert p.health.held_reason is None


async def test_while_events_are_held_health_says_why(p: Pipeline) -> None:
    p.events.refusals = 1
    await p.apply(p.topic.create("A"))
    assert p.events.troubles == [None, "held: cannot publish: the broker is away"]


async def test_the_write_is_not_repeated_while_events_are_held(p: Pipeline) -> None:
    p.events.refusals = 3
    await p.apply(p.topic.create("A"))
    assert p.store.history["A"] == [0]


@pytest.mark.parametrize("ends_at", range(1, 5))
async def test_a_batch_whose_lease_ends_before_it_publishes_publishes_nothing(p: Pipeline, ends_at: int) -> None:
    bad = p.topic.append("B", b"{")
    with pytest.raises(LeaseLostError):
        await p.apply(p.topic.create("A"), bad, lease=CountingLease(ends_at=ends_at))
    assert p.events.events == []
    assert p.table.writes == []


async def test_a_lease_that_ends_while_events_are_held_drops_the_batch(p: Pipeline) -> None:
    p.events.refusals = 1_000_000
    with pytest.raises(LeaseLostError):
        await p.apply(p.topic.create("A"), lease=CountingLease(ends_at=10))
    assert p.table.writes == []


async def test_a_lease_that_ends_while_events_are_confirmed_leaves_the_table_alone(p: Pipeline) -> None:
    lease = CountingLease()
    await p.apply(p.topic.create("A"), lease=lease)
    with pytest.raises(LeaseLostError):
        await p.apply(p.topic.create("B"), lease=CountingLease(ends_at=lease.checks))
    assert [event.data.article_id for event in p.events.events if isinstance(event.data, ProductChanged)] == ["A", "B"]
    assert {entry.key for entry in p.table.writes} == {"A"}


async def test_refused_write_publishes_nothing_of_its_record(p: Pipeline) -> None:
    p.store.reject.add("B")
    await p.apply(p.topic.create("A"), p.topic.create("B"))
    assert {event.data.article_id for event in p.events.events} == {"A"}


async def test_after_a_refused_write_earlier_changes_of_the_key_are_published(p: Pipeline) -> None:
    await p.apply(p.topic.create("A", name="one"))
    records = [p.topic.update("A", name="one", price="2.00"), p.topic.update("A", name="two"), p.topic.create("B")]
    p.store.reject.add("A")
    await p.apply(*records)
    changed = [event.data for event in p.events.events if isinstance(event.data, ProductChanged)]
    assert [(data.article_id, data.version) for data in changed] == [("A", 0), ("A", 1), ("B", 3)]


async def test_redelivery_after_the_table_publishes_nothing(p: Pipeline) -> None:
    batch = [p.topic.create("A"), p.topic.delete("A"), p.topic.tombstone("A")]
    await p.apply(*batch)
    published = len(p.events.events)
    await p.apply(*batch)
    assert len(p.events.events) == published
    assert p.effects.count("events") == 1


async def test_without_topics_nothing_is_published(p: Pipeline) -> None:
    p.events = None  # type: ignore[assignment]
    await p.apply(p.topic.create("A"))
    assert p.effects == ["points", "table"]


async def test_events_are_counted_by_topic(p: Pipeline) -> None:
    await p.apply(p.topic.create("A"))
    await p.apply(p.topic.update("A", price="2.00"), p.topic.delete("A"))
    assert p.counters.as_dict()["events"] == {
        "products.changed.v1": 3,
        "products.price-changed.v1": 1,
        "products.removed.v1": 1,
        "products.indexed.v1": 1,
    }


@settings(max_examples=60, deadline=None)
@given(
    steps=st.lists(
        st.tuples(st.sampled_from("cutdr"), st.sampled_from(["A", "B", "C"]), st.integers(0, 3)), max_size=25
    ),
    cuts=st.lists(st.tuples(st.integers(1, 6), st.sampled_from(["points", "events", "table", ""])), max_size=12),
)
async def test_promise_1_any_redelivery_gives_every_change_once_in_order(
    steps: Sequence[tuple[str, str, int]], cuts: Sequence[tuple[int, str]]
) -> None:
    """Batches of any size, killed anywhere and read again from the commit: by id, as if each record came alone."""
    topic = Topic()
    for operation, key, number in steps:
        match operation:
            case "c":
                topic.create(key, price=f"{number}.00", name=f"n{number}")
            case "u":
                topic.update(key, price=f"{number}.00", name="same")
            case "r":
                topic.read(key, price=f"{number}.00", name=f"n{number}")
            case "t":
                topic.append(key, b"{")
            case _:
                topic.delete(key)
                topic.tombstone(key)
    alone, killed = Pipeline(), Pipeline()
    for record in topic.records:
        await alone.apply(record)
    committed = 0
    for length, at in [*cuts, (len(topic.records), "")]:
        batch = topic.records[committed : committed + length]
        killed.kill_at = at
        try:
            await killed.apply(*batch)
        except KilledError:
            continue
        committed += length
    killed.kill_at = None
    if rest := topic.records[committed:]:
        await killed.apply(*rest)

    def by_id(p: Pipeline) -> dict[str, Any]:
        bodies: dict[str, Any] = {}
        for event in p.events.events:
            name, body = shown(event)
            assert bodies.setdefault(name, body) == body
        return bodies

    expected, seen = by_id(alone), by_id(killed)
    for kind in (ProductChanged, PriceChanged, ProductRemoved):
        wanted = [item for item in expected.items() if item[0].startswith(kind.topic)]
        assert [item for item in seen.items() if item[0].startswith(kind.topic)] == wanted
    # Of `indexed` there is one per key and batch; each says the same as when its record comes alone, or stands for it.
    versions = {(b["article_id"], b["version"]) for n, b in seen.items() if n.startswith(ProductIndexed.topic)}
    last = {b["article_id"]: b["version"] for n, b in expected.items() if n.startswith(ProductIndexed.topic)}
    present = {key for key in last if key in killed.store.points}
    assert all(any(k == key and v >= last[key] for k, v in versions) for key in present)


async def test_a_lease_that_ends_while_the_broker_is_away_abandons_the_events(p: Pipeline) -> None:
    """Sent later, they would stand behind those of the next owner, and compaction would keep the older."""
    p.events.hangs = True
    with pytest.raises(LeaseLostError):
        await p.apply(p.topic.create("A"), lease=CountingLease(ends_at=8))
    assert p.events.abandoned
    assert p.table.writes == []
