"""A topic that has lost records is not taken for the whole of the table."""

from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import cast

import orjson
import pytest

from connectors.kafka import Watermarks
from connectors.postgres import Postgres, UnreadableRowError
from ops.backfill import history
from ops.backfill.engine import Backfill
from ops.backfill.history import SourceRange, TopicHistory
from ops.backfill.latest import LatestRows
from schemas.collection import LiveCollection
from schemas.errors import ReplayError
from schemas.product import Product
from schemas.recipe import Recipe
from tests.fakes.backfill import Collections, GrowingLog, Turns
from tests.fakes.pipeline import NOW, TOPIC, FakeEmbedder, RowsInMemory, Topic

LIVE = LiveCollection(name="products-1", recipe=Recipe())


@dataclass
class Catalogue:
    """Rows in Postgres, and what becomes of a signal to Debezium."""

    topic: Topic
    log: GrowingLog
    keys: list[str]
    not_yet_captured: list[str] = field(default_factory=list)
    brings: list[str] = field(default_factory=list)
    comes: Iterator[str] = field(default_factory=lambda: iter(()))
    """Rows that are inserted, one behind each page that is read, and captured a moment later."""
    signals: list[str] = field(default_factory=list)

    async def pages(self, *, limit: int, unreadable: list[UnreadableRowError]) -> AsyncIterator[list[Product]]:
        self.not_yet_captured += (new := list(islice(self.comes, 1)))
        self.keys += new
        yield [Product(id=1, article_id=key, name="shirt") for key in self.keys]

    async def existing_keys(self, keys: Sequence[str]) -> set[str]:
        return set(keys) & set(self.keys)

    async def wal_position(self) -> str:
        return "0/1"

    async def slot_confirmed(self, slot: str, position: str) -> bool:
        self._publish(self.not_yet_captured)
        return True

    async def execute(self, statement: str, *values: str) -> None:
        assert "debezium_signal" in statement
        self.signals.append(values[2])
        self._publish(self.brings)

    def _publish(self, keys: list[str]) -> None:
        for key in keys:
            self.topic.create(key)
        keys.clear()
        self.log.visible = len(self.topic.records)


def world(*keys: str, low: int) -> tuple[Catalogue, Backfill, TopicHistory]:
    """Rows of these keys; the topic has A and B, and its records below `low` are gone."""
    topic = Topic()
    topic.create("A")
    topic.create("B")
    log = GrowingLog(topic.records, 2)
    catalogue = Catalogue(topic, log, list(keys))
    store = Collections(live=LIVE, turns=Turns(0))
    store.create(LIVE)
    backfill = Backfill(
        log=log,
        latest=LatestRows(topic=TOPIC, recipe=LIVE.recipe, rows=RowsInMemory(), epoch=0),
        store=store,
        target=LIVE,
        embedder=FakeEmbedder(),
        clock=lambda: NOW,
    )
    source = SourceRange(marks={0: Watermarks(low=low, high=2)}, cleanup_policy="compact")
    return catalogue, backfill, TopicHistory(cast(Postgres, catalogue), source)


async def complete(
    catalogue: Catalogue, backfill: Backfill, found: TopicHistory, *, from_snapshot: bool = False
) -> None:
    await backfill.read({0: 0})
    await found.complete(backfill, from_snapshot=from_snapshot)


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "LOOK_EVERY_SECONDS", 0.0)
    monkeypatch.setattr(history, "PATIENCE_SECONDS", 0.05)


async def test_topic_that_begins_at_0_is_whole() -> None:
    await complete(*world("A", "B", "not captured yet", low=0))


async def test_topic_that_lost_records_and_still_has_every_row_is_enough() -> None:
    await complete(*world("A", "B", low=1))


async def test_row_that_is_captured_late_is_no_loss() -> None:
    catalogue, backfill, found = world("A", "B", "C", low=1)
    catalogue.not_yet_captured = ["C"]
    await complete(catalogue, backfill, found)


async def test_lost_row_is_named_with_the_way_out() -> None:
    with pytest.raises(ReplayError, match=r"history is gone: 1 rows have no record .* among them C") as caught:
        await complete(*world("A", "B", "C", low=1))
    assert caught.value.hint == "lockstep rebuild --from-snapshot"


async def test_snapshot_brings_the_lost_rows() -> None:
    catalogue, backfill, found = world("A", "B", "C", "D", low=1)
    catalogue.brings = ["C", "D"]
    await complete(catalogue, backfill, found, from_snapshot=True)
    assert [orjson.loads(signal) for signal in catalogue.signals] == [
        {"type": "incremental", "data-collections": ["public.products"]}
    ]
    assert set(backfill.latest.documents(["C", "D"], NOW)) == {"C", "D"}


async def test_snapshot_that_does_not_come_is_said() -> None:
    catalogue, backfill, found = world("A", "B", "C", "D", low=1)
    catalogue.brings = ["C"]
    with pytest.raises(ReplayError, match=r"brought no more rows .* 1 are still absent .* among them D"):
        await complete(catalogue, backfill, found, from_snapshot=True)


async def test_rows_that_are_inserted_meanwhile_are_no_loss() -> None:
    catalogue, backfill, found = world("A", "B", low=1)
    catalogue.comes = (f"new {number}" for number in range(1000))
    await complete(catalogue, backfill, found)


async def test_snapshot_ends_while_rows_go_on_being_inserted() -> None:
    catalogue, backfill, found = world("A", "B", "C", low=1)
    catalogue.comes = (f"new {number}" for number in range(1000))
    catalogue.brings = ["C"]
    await complete(catalogue, backfill, found, from_snapshot=True)
    assert "C" in backfill.latest.documents(["C"], NOW)


async def test_lost_row_that_is_deleted_meanwhile_is_not_waited_for() -> None:
    catalogue, backfill, found = world("A", "B", "C", "D", low=1)
    catalogue.brings = ["C"]
    publish = catalogue._publish

    def delete_and_publish(keys: list[str]) -> None:
        catalogue.keys[:] = [key for key in catalogue.keys if key != "D"]
        publish(keys)

    catalogue._publish = delete_and_publish  # type: ignore[method-assign]
    await complete(catalogue, backfill, found, from_snapshot=True)


async def test_snapshot_is_taken_of_a_topic_that_begins_at_0_and_lacks_rows() -> None:
    catalogue, backfill, found = world("A", "B", "C", low=0)  # made anew, and nothing read again
    catalogue.brings = ["C"]
    await complete(catalogue, backfill, found, from_snapshot=True)
    assert set(backfill.latest.documents(["C"], NOW)) == {"C"}


async def test_snapshot_brings_a_row_that_the_topic_takes_for_deleted() -> None:
    catalogue, backfill, found = world("A", "B", low=1)
    catalogue.topic.tombstone("B")  # compaction removed the record in between, with which the row had come back
    catalogue.log.visible += 1
    catalogue.brings = ["B"]
    await complete(catalogue, backfill, found, from_snapshot=True)
    assert set(backfill.latest.documents(["A", "B"], NOW)) == {"A", "B"}


async def test_row_whose_record_is_a_dead_letter_is_no_loss() -> None:
    catalogue, backfill, found = world("A", "B", "C", low=1)
    catalogue.topic.create("C", price="a lot")
    catalogue.log.visible += 1
    await complete(catalogue, backfill, found)
    await complete(catalogue, backfill, found, from_snapshot=True)
    assert catalogue.signals == []
