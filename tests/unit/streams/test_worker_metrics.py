"""What a worker's metrics say right after a batch."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest
from prometheus_client import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families

from schemas.errors import EmbeddingError, ErrorKind, SourceError, VectorStoreError
from schemas.record import Record
from streams import metrics, retry_policy
from streams.counters import Counters
from streams.health import PARTS, Health
from streams.indexer import Indexer
from streams.lag import PartitionLag
from streams.stopwatch import Stage
from streams.worker_metrics import worker_registry
from tests.fakes.events import ListOfEvents
from tests.fakes.pipeline import CountingLease, FakeEmbedder, InMemoryTable, ListOfDeadLetters, RowsInMemory, Topic
from tests.fakes.vector_store import FaultyVectorStore
from tests.fakes.worker import worker_state

NOW = datetime(1970, 1, 1, 0, 0, 3, 8000, tzinfo=UTC)
"""Two seconds after the first change, by the topic's clock."""


@dataclass
class Clock:
    now: float = 100.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Worker:
    """An indexer among fakes, and its metrics."""

    clock: Clock = field(default_factory=Clock)
    store: FaultyVectorStore = field(default_factory=FaultyVectorStore)
    embedder: FakeEmbedder = field(default_factory=FakeEmbedder)
    rows: RowsInMemory = field(default_factory=RowsInMemory)
    topic: Topic = field(default_factory=Topic)
    counters: Counters = field(default_factory=Counters)
    health: Health = field(init=False)
    indexer: Indexer = field(init=False)

    def __post_init__(self) -> None:
        self.health = Health(clock=self.clock)
        self.indexer = Indexer(
            store=self.store,
            embedders=self.embedder,
            rows=self.rows,
            table=InMemoryTable(),
            dead_letters=ListOfDeadLetters(),
            health=self.health,
            counters=self.counters,
            events=ListOfEvents(),
            clock=lambda: NOW,
        )

    async def apply(self, *records: Record) -> None:
        await self.indexer.apply(records, CountingLease())

    def text(self) -> str:
        state = worker_state(health=self.health, counters=self.counters)
        return generate_latest(worker_registry(lambda: state)).decode()

    def value(self, definition: metrics.Definition, suffix: str = "", **labels: str) -> float | None:
        state = worker_state(health=self.health, counters=self.counters)
        return worker_registry(lambda: state).get_sample_value(definition.name + suffix, labels)

    def changes(self, action: str, operation: str) -> float | None:
        return self.value(metrics.CHANGES, action=action, operation=operation)


@pytest.fixture
def w() -> Worker:
    return Worker()


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry_policy, "FIRST_WAIT_SECONDS", 0.0001)
    monkeypatch.setattr(retry_policy, "LONGEST_WAIT_SECONDS", 0.001)


async def test_every_action_is_counted_with_what_happened_to_the_row(w: Worker) -> None:
    insert = w.topic.create("A1")
    await w.apply(insert)
    await w.apply(insert)
    await w.apply(w.topic.update("A1", price="9.99"))
    await w.apply(w.topic.update("A1", price="9.99"))
    await w.apply(w.topic.read("A1", price="9.99"))
    await w.apply(w.topic.update("A1", name="Other top"), w.topic.update("A1", name="Third top"))
    await w.apply(w.topic.delete("A1"), w.topic.tombstone("A1"))
    counted = {key: count for key, count in w.counters.changes.items() if count}
    assert counted == {
        ("upsert_point", "c"): 1,
        ("skip", "c"): 1,
        ("overwrite_payload", "u"): 1,
        ("keep", "u"): 1,
        ("verify_point", "r"): 1,
        ("collapse", "u"): 1,
        ("upsert_point", "u"): 1,
        ("collapse", "d"): 1,
        ("delete_point", "tombstone"): 1,
    }
    assert w.changes("skip", "create") == 1
    assert w.changes("verify_point", "snapshot_read") == 1
    assert w.changes("delete_point", "tombstone") == 1
    assert w.value(metrics.RECORDS) == 9
    assert w.value(metrics.EMBEDDINGS_MADE) == 2
    assert w.value(metrics.EMBEDDINGS_AVOIDED) == 3
    assert w.value(metrics.BATCH_SIZE, "_count") == 7
    assert w.value(metrics.BATCH_SIZE, "_bucket", le="1.0") == 5
    assert w.value(metrics.EVENTS, topic="products.removed.v1") == 1


async def test_only_live_changes_that_were_written_have_an_age(w: Worker) -> None:
    await w.apply(w.topic.create("A1"))
    assert w.value(metrics.COMMIT_TO_SEARCHABLE, "_count") == 1
    assert w.value(metrics.COMMIT_TO_SEARCHABLE, "_sum") == 2.0
    await w.apply(w.topic.update("A1"))  # kept: nothing was written
    await w.apply(w.topic.read("A2"))
    assert w.value(metrics.COMMIT_TO_SEARCHABLE, "_count") == 1


async def test_a_clock_that_is_behind_postgres_makes_no_negative_age(w: Worker) -> None:
    w.topic.lsn = 5000
    await w.apply(w.topic.create("A1"))
    assert w.value(metrics.COMMIT_TO_SEARCHABLE, "_sum") == 0


async def test_each_stage_that_a_batch_passed_is_observed_once(w: Worker) -> None:
    w.store.outages = 2
    await w.apply(w.topic.create("A1"))
    passed = {stage: w.value(metrics.BATCH_STAGE, "_count", stage=stage) for stage in Stage}
    assert passed == {stage: 1 for stage in Stage} | {Stage.DEAD_LETTERS: 0, Stage.COMMIT: 0}


async def test_a_dead_letter_is_counted_by_the_class_of_its_error(w: Worker) -> None:
    assert w.value(metrics.DEAD_LETTERS, reason="DecodeError") == 0
    await w.apply(w.topic.append("A1", b"no JSON"), w.topic.create("A2"))
    assert w.value(metrics.DEAD_LETTERS, reason="DecodeError") == 1
    assert w.value(metrics.BATCH_STAGE, "_count", stage="dead_letters") == 1
    met = w.health.errors.newest()[0]
    assert (met.error, met.place) == ("DecodeError", "pgserver.public.products[0]@0")


async def test_retries_and_holding_are_told_by_the_part_at_fault_until_it_passes(w: Worker) -> None:
    seen: list[float | None] = []

    class Lease(CountingLease):
        def check(self) -> None:
            super().check()
            w.clock.now += 1
            seen.append(w.value(metrics.HELD, part="qdrant"))

    w.store.outages = 3
    await w.indexer.apply([w.topic.create("A1")], Lease())
    assert w.value(metrics.RETRIES, part="qdrant", kind="transient") == 3
    assert w.value(metrics.RETRIES, part="model", kind="transient") == 0
    assert 1.0 in seen
    assert w.value(metrics.HELD, part="qdrant") == 0
    assert w.value(metrics.HELD_FOR, part="qdrant") == 0
    assert (w.value(metrics.HELD_SECONDS, part="qdrant") or 0) > 0


def test_the_time_of_an_outage_goes_to_each_part_in_turn(w: Worker) -> None:
    w.health.hold(VectorStoreError("qdrant is down"))
    w.clock.now += 10
    assert w.value(metrics.HELD_FOR, part="qdrant") == 10
    w.health.hold(SourceError("postgres is down"))
    w.clock.now += 5
    assert w.value(metrics.HELD, part="qdrant") == 0
    assert w.value(metrics.HELD_FOR, part="postgres") == 5
    assert w.value(metrics.HELD_SECONDS, part="postgres") == 5
    w.health.release()
    w.clock.now += 100
    assert w.value(metrics.HELD_SECONDS, part="qdrant") == 10
    assert w.value(metrics.HELD_SECONDS, part="postgres") == 5


def test_a_broker_that_confirms_nothing_holds_too(w: Worker) -> None:
    with w.health.confirming():
        w.clock.now += 2
        assert w.value(metrics.HELD, part="broker") == 0
        w.clock.now += 6
        assert w.value(metrics.HELD_FOR, part="broker") == 8
    assert w.value(metrics.HELD, part="broker") == 0
    assert w.value(metrics.HELD_SECONDS, part="broker") == 8


async def test_errors_of_many_words_add_no_series(w: Worker) -> None:
    await w.apply(w.topic.append("A", b"poison"))
    before = sum(1 for line in _samples(w.text()))
    for number in range(50):
        await w.apply(w.topic.append(f"K{number}", f"poison {number}".encode()))
        w.health.hold(VectorStoreError(f"qdrant says {number}", kind=ErrorKind.OUTAGE))
        w.health.hold(EmbeddingError(f"the model says {number}", kind=ErrorKind.TRANSIENT))
    assert sum(1 for line in _samples(w.text())) == before


def _samples(text: str) -> Iterator[str]:
    return (line for line in text.splitlines() if line.startswith("lockstep_"))


async def test_both_formats_can_be_parsed_and_hold_every_metric(w: Worker) -> None:
    await w.apply(w.topic.create("A1"))
    state = worker_state(health=w.health, counters=w.counters)
    registry = worker_registry(lambda: state)
    plain = {family.name for family in text_string_to_metric_families(generate_latest(registry).decode())}
    strict = {family.name for family in parse_openmetrics(openmetrics(registry).decode())}
    names = {definition.name.removesuffix("_total") for definition in metrics.WORKER}
    assert names <= strict
    assert names <= plain


def test_what_is_not_known_has_no_sample() -> None:
    state = worker_state(
        partitions=[PartitionLag(partition=3)], collection=None, recipe=None, unready_because="waiting"
    )
    registry = worker_registry(lambda: state)
    assert registry.get_sample_value(metrics.ASSIGNED_LAG.name, {"partition": "3"}) is None
    assert registry.get_sample_value(metrics.WORKER_READY.name) == 0
    assert registry.get_sample_value(metrics.HELD.name, {"part": PARTS[0]}) == 0
