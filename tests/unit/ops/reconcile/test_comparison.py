"""What counts as a difference."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, cast

from connectors.postgres import Postgres, UnreadableRowError
from connectors.qdrant import QdrantStore
from ops.reconcile import ReconcileReport, reconcile
from schemas.collection import LiveCollection
from schemas.document import PROVENANCE, StoredPoint
from schemas.product import Product, row_hash
from schemas.recipe import Recipe

RECIPE = Recipe()


def row(key: str, price: int = 1) -> Product:
    return Product(id=1, article_id=key, name="Strap top", price=Decimal(price))


def payload(product: Product) -> dict[str, Any]:
    provenance = {
        "row_hash": row_hash(product.to_bytes()),
        "embedding_fingerprint": RECIPE.fingerprint(RECIPE.render(product)),
    }
    return product.payload() | {PROVENANCE: provenance}


@dataclass
class Both:
    """Rows and points; `later` is what both become when the pipeline settles, one step a time."""

    rows: dict[str, Product] = field(default_factory=dict)
    points: dict[str, dict[str, Any]] = field(default_factory=dict)
    unreadable: list[str] = field(default_factory=list)
    settled: int = 0

    async def settle(self) -> None:
        self.settled += 1

    async def compare(self) -> ReconcileReport:
        return await reconcile(cast(Postgres, self), cast(QdrantStore, self), settle=self.settle)

    async def pages(self, limit: int, unreadable: list[UnreadableRowError]) -> AsyncIterator[list[Product]]:
        unreadable += [UnreadableRowError(key, "price is NaN") for key in self.unreadable]
        if self.rows:
            yield list(self.rows.values())

    async def fetch_rows(self, keys: Sequence[str], unreadable: list[UnreadableRowError]) -> dict[str, Product]:
        return {key: self.rows[key] for key in keys if key in self.rows}

    async def existing_keys(self, keys: Sequence[str]) -> set[str]:
        return {*self.rows, *self.unreadable} & set(keys)

    async def live_collection(self) -> LiveCollection:
        return LiveCollection(name="products-1", recipe=RECIPE)

    async def payloads(self, collection: str, keys: Sequence[str]) -> dict[str, dict[str, Any]]:
        return {key: self.points[key] for key in keys if key in self.points}

    async def stored_points(self, collection: str, keys: Sequence[str]) -> dict[str, StoredPoint]:
        nothing = StoredPoint(version=None, recipe=None, embedding_fingerprint=None, row_hash=None)
        return {key: nothing for key in keys if key in self.points}

    async def scroll_keys(self, collection: str, page: int) -> AsyncIterator[list[str]]:
        yield list(self.points)


async def test_equal_stores_agree_without_a_second_look() -> None:
    both = Both(rows={"A": row("A")}, points={"A": payload(row("A"))})
    report = await both.compare()
    assert report.in_sync
    assert both.settled == 0


async def test_a_change_on_its_way_is_not_drift() -> None:
    class Late(Both):
        async def settle(self) -> None:
            self.points = {"A": payload(row("A", 2))}

    assert (
        await Late(rows={"A": row("A", 2)}, points={"A": payload(row("A", 1)), "B": payload(row("B"))}).compare()
    ).in_sync


async def test_a_row_that_goes_on_changing_is_not_drift() -> None:
    class Hot(Both):
        async def fetch_rows(self, keys: Sequence[str], unreadable: list[UnreadableRowError]) -> dict[str, Product]:
            before = self.rows["A"]
            self.points = {"A": payload(before)}
            self.rows = {"A": row("A", int(before.price or 0) + 1)}
            return dict(self.rows)

    assert (await Hot(rows={"A": row("A", 2)}, points={"A": payload(row("A", 1))}).compare()).in_sync


async def test_rows_that_cannot_be_read_are_counted_and_are_no_difference() -> None:
    report = await Both(unreadable=["Z"], points={"Z": payload(row("Z"))}).compare()
    assert (report.rows, report.unreadable.examples, report.in_sync) == (1, ["Z"], True)


async def test_a_price_one_unit_in_the_last_place_off_is_no_difference() -> None:
    point = payload(row("A")) | {"price": 1.0000000000000002}
    assert (await Both(rows={"A": row("A")}, points={"A": point}).compare()).in_sync


async def test_each_difference_is_named() -> None:
    both = Both(
        rows={key: row(key) for key in ("missing", "stale", "fine")},
        points={
            "stale": payload(row("stale")) | {"color": "Red"},
            "fine": payload(row("fine")),
            "orphaned": payload(row("orphaned")),
        },
    )
    report = await both.compare()
    assert (report.missing.examples, report.stale.examples, report.orphaned.examples) == (
        ["missing"],
        ["stale"],
        ["orphaned"],
    )
    assert not report.in_sync
