"""Which rows a retry reads again, and what is said of each afterwards."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import cast

import pytest

from connectors.postgres import Postgres, UnreadableRowError
from connectors.qdrant import QdrantStore
from ops import dead_letter_retry
from ops.dead_letter_retry import Outcome, RowResult, SetAside, plan_retry, retry_rows
from ops.dead_letters import Collector, FoundLetter, Selection
from schemas.collection import LiveCollection
from schemas.dead_letter import DeadLetter
from schemas.document import StoredPoint
from schemas.product import Product, row_hash
from schemas.recipe import Recipe
from schemas.record import Place, Record
from streams.topics import DEAD_LETTERS, PRODUCT_CHANGES

RECIPE = Recipe()
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
AGAIN = Place(topic=PRODUCT_CHANGES, partition=0, offset=99)


def found(offset: int, key: bytes | None) -> FoundLetter:
    record = Record(place=Place(topic=PRODUCT_CHANGES, partition=0, offset=offset), key=key, value=None)
    letter = DeadLetter(record=record, error_class="DecodeError", error="no", attempts=1, set_aside_at=NOON)
    return FoundLetter(letter=letter, stands_at=Place(topic=DEAD_LETTERS, partition=0, offset=offset), value_bytes=1)


def test_letters_of_one_row_need_one_read() -> None:
    letters = [found(1, b'{"article_id":"A"}'), found(2, b'{"article_id":"B"}'), found(3, b'{"article_id":"A"}')]
    plan = plan_retry(letters)
    assert plan.rows == {"A": [letters[0], letters[2]], "B": [letters[1]]}
    assert not plan.refused


KEYLESS = {
    "no key": (None, "key is missing"),
    "not JSON": (b"A", "key is not JSON"),
    "no article_id": (b'{"id":1}', "key has no article_id"),
    "empty, as a weak replica identity leaves it": (b'{"article_id":""}', "article_id is empty"),
    "NUL": (b'{"article_id":"A\\u0000"}', "NUL"),
    "longer than a signal takes": (b'{"article_id":"%s"}' % (b"k" * 5000), "longer than 4096 bytes"),
}


@pytest.mark.parametrize(("key", "reason"), KEYLESS.values(), ids=KEYLESS)
def test_a_letter_without_a_usable_key_is_refused_with_a_reason(key: bytes | None, reason: str) -> None:
    plan = plan_retry([found(1, key)])
    assert not plan.rows
    [refused] = plan.refused
    assert refused.place.offset == 1
    assert reason in refused.reason


def row(key: str, name: str = "Strap top") -> Product:
    return Product(id=1, article_id=key, name=name)


def point(product: Product) -> StoredPoint:
    return StoredPoint(
        version=1,
        recipe=RECIPE.recipe_id,
        embedding_fingerprint=RECIPE.fingerprint(RECIPE.render(product)),
        row_hash=row_hash(product.to_bytes()),
    )


@dataclass
class World:
    """Rows, points and letters set aside since; each `settle` is told its number, from 1."""

    rows: dict[str, Product] = field(default_factory=dict)
    unreadable: list[str] = field(default_factory=list)
    points: dict[str, StoredPoint] = field(default_factory=dict)
    again: dict[str, Place] = field(default_factory=dict)
    signalled: list[str] = field(default_factory=list)
    settled: int = 0

    async def signal_snapshot(self, keys: Sequence[str]) -> None:
        self.signalled += keys

    async def fetch_rows(self, keys: Sequence[str], unreadable: list[UnreadableRowError]) -> dict[str, Product]:
        unreadable += [UnreadableRowError(key, "price is NaN") for key in self.unreadable if key in keys]
        return {key: self.rows[key] for key in keys if key in self.rows}

    async def live_collection(self) -> LiveCollection:
        return LiveCollection(name="products-1", recipe=RECIPE)

    async def stored_points(self, collection: str, keys: Sequence[str]) -> dict[str, StoredPoint]:
        return {key: self.points[key] for key in keys if key in self.points}

    async def settle(self) -> None:
        assert self.signalled, "the signal comes first"
        self.settled += 1

    async def set_aside(self) -> dict[str, Place]:
        return self.again

    async def retry(self, *keys: str, patience_seconds: float = 60) -> dict[str, RowResult]:
        return await retry_rows(
            keys,
            rows=cast(Postgres, self),
            store=cast(QdrantStore, self),
            settle=self.settle,
            set_aside=self.set_aside,
            patience_seconds=patience_seconds,
        )


@pytest.fixture(autouse=True)
def _look_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dead_letter_retry, "LOOK_EVERY_SECONDS", 0)


async def test_a_point_that_equals_its_row_is_indexed() -> None:
    world = World(rows={"A": row("A")}, points={"A": point(row("A"))})
    assert await world.retry("A") == {"A": RowResult(outcome=Outcome.INDEXED)}
    assert (world.signalled, world.settled) == (["A"], 1)


async def test_a_row_that_is_gone_without_a_point_needs_nothing() -> None:
    assert await World().retry("A") == {"A": RowResult(outcome=Outcome.ROW_IS_GONE)}


async def test_a_row_that_is_not_indexed_but_set_aside_names_the_new_place() -> None:
    world = World(rows={"A": row("A")}, unreadable=["B"], again={"A": AGAIN, "B": AGAIN, "C": AGAIN})
    result = RowResult(outcome=Outcome.SET_ASIDE_AGAIN, place=AGAIN)
    assert await world.retry("A", "B") == {"A": result, "B": result}


async def test_a_row_that_was_set_aside_and_then_indexed_is_indexed() -> None:
    world = World(rows={"A": row("A")}, points={"A": point(row("A"))}, again={"A": AGAIN})
    assert (await world.retry("A"))["A"].outcome is Outcome.INDEXED


async def test_a_letter_of_an_older_record_that_appears_once_more_says_nothing_of_the_row(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    collector = Collector(Selection())
    for offset, key in ((9, b"old"), (10, b"new")):
        each = found(offset, b'{"article_id":"%s"}' % key)
        headers = tuple(each.letter.headers())
        collector.add(Record(place=each.stands_at, key=each.letter.record.key, value=None, headers=headers))
    started: list[Mapping[int, int]] = []

    async def find(brokers: str, selection: Selection, *, starts: Mapping[int, int]) -> Collector:
        started.append(starts)
        return collector

    monkeypatch.setattr(dead_letter_retry, "find_letters", find)
    places = await SetAside(brokers="", source={0: 10}, letters={0: 3}).places()
    assert (places, started) == ({"new": Place(topic=PRODUCT_CHANGES, partition=0, offset=10)}, [{0: 3}])


async def test_a_row_whose_point_is_older_is_waited_for() -> None:
    class Late(World):
        async def settle(self) -> None:
            await super().settle()
            if self.settled == 3:
                self.points["A"] = point(self.rows["A"])

    world = Late(rows={"A": row("A", "new")}, points={"A": point(row("A", "old")), "B": point(row("B"))})
    world.rows["B"] = row("B")
    assert {key: each.outcome for key, each in (await world.retry("A", "B")).items()} == {
        "A": Outcome.INDEXED,
        "B": Outcome.INDEXED,
    }
    assert world.settled == 3


async def test_a_point_on_its_way_out_is_looked_at_twice() -> None:
    class Leaving(World):
        async def settle(self) -> None:
            await super().settle()
            if self.settled == 2:
                self.points.clear()

    assert (await Leaving(points={"A": point(row("A"))}).retry("A"))["A"].outcome is Outcome.ROW_IS_GONE


async def test_a_point_that_stays_without_its_row_is_said() -> None:
    world = World(points={"A": point(row("A"))})
    assert (await world.retry("A"))["A"].outcome is Outcome.POINT_WITHOUT_ROW
    assert world.settled == 2


async def test_patience_ends_and_nothing_is_claimed() -> None:
    world = World(rows={"A": row("A")}, unreadable=["B"])
    results = await world.retry("A", "B", patience_seconds=0)
    assert {each.outcome for each in results.values()} == {Outcome.NOT_SEEN}
    assert not Outcome.NOT_SEEN.is_right


async def test_more_rows_than_a_page_are_all_looked_at() -> None:
    keys = [f"k{number}" for number in range(1201)]
    world = World(rows={key: row(key) for key in keys}, points={key: point(row(key)) for key in keys})
    results = await world.retry(*keys)
    assert len(results) == 1201
    assert {each.outcome for each in results.values()} == {Outcome.INDEXED}
