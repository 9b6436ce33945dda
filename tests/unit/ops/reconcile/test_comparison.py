"""What counts as a difference."""

import random
from collections.abc import AsyncIterator, Callable

import pytest

from ops.reconcile import ReconcileReport, comparison
from ops.reconcile.comparison import Comparison
from ops.reconcile.vectors import compare_vectors
from schemas.document import PROVENANCE, point_id
from schemas.errors import ReplayError
from tests.fakes.world import World, world


@pytest.fixture
async def w() -> AsyncIterator[World]:
    async with world() as w:
        yield w


async def compare(w: World, **asked: float) -> ReconcileReport:
    found = await Comparison.of(w.rows, w.store, settle=w.settle, share=asked.get("share"))
    found.chance = random.Random(1)
    await found.run()
    return found.report


async def filled(w: World, *keys: str) -> None:
    for key in keys:
        w.insert(key)
    await w.settle()
    w.settled = 0


def meanwhile(w: World, change: Callable[[], None]) -> None:
    """Do it once, as the comparison begins to wait."""
    settle = w.settle

    async def changing() -> None:
        nonlocal change
        change()
        change = lambda: None  # noqa: E731  # once
        await settle()

    w.settle = changing  # type: ignore[method-assign]


async def test_equal_stores_agree_without_a_second_look(w: World) -> None:
    await filled(w, "A", "B")
    report = await compare(w)
    assert (report.in_sync, report.rows, report.points, w.settled) == (True, 2, 2, 0)


async def test_changes_on_their_way_are_not_drift_and_cost_one_wait(w: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparison, "PAGE", 2)
    await filled(w, "A", "B", "C", "D", "E")
    w.insert("F")
    for key in ("A", "C", "E"):
        w.update(key, price="1.00")
    w.delete("D")
    report = await compare(w)
    assert (report.in_sync, report.second_looks, w.settled) == (True, 1, 1)


async def test_a_row_that_goes_on_changing_is_not_drift(w: World) -> None:
    await filled(w, "A")
    settle = w.settle

    async def changing() -> None:
        await settle()
        w.update("A", price=f"{w.settled}.00")

    w.settle = changing  # type: ignore[method-assign]
    w.update("A", price="9.00")
    report = await compare(w)
    assert (report.in_sync, report.second_looks) == (True, comparison.LOOKS)


async def test_a_collection_that_is_no_longer_live_is_not_taken_for_drift(w: World) -> None:
    await filled(w, "A")
    w.update("A", price="1.00")
    settle = w.settle

    async def moving() -> None:
        await w.move_alias("products-2")  # by a rebuild; the worker writes there from now on
        await settle()

    w.settle = moving  # type: ignore[method-assign]
    with pytest.raises(ReplayError, match="products-1 was replaced by products-2") as caught:
        await compare(w)
    assert caught.value.hint == "run it again"


async def test_many_suspects_are_looked_at_before_the_end(w: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparison, "PAGE", 2)
    monkeypatch.setattr(comparison, "MOST_SUSPECTS", 3)
    await filled(w, *"ABCDEF")
    await w.remove(*"ABCDEF")
    report = await compare(w)
    assert (report.missing.count, report.second_looks) == (6, 2)


async def test_a_point_that_is_written_again_between_two_looks_is_no_orphan(w: World) -> None:
    await filled(w, "A")
    w.lose_delete("A")

    def come_and_go() -> None:
        w.insert("A")
        w.catalogue.rows.clear()

    meanwhile(w, come_and_go)
    assert (await compare(w)).in_sync


async def test_rows_that_cannot_be_read_are_counted_and_are_no_difference(w: World) -> None:
    await filled(w, "Z")
    w.catalogue.rows.clear()
    w.catalogue.unreadable.add("Z")
    report = await compare(w)
    assert (report.rows, report.unreadable.examples, report.in_sync) == (1, ["Z"], True)


async def test_a_price_one_unit_in_the_last_place_off_is_no_difference(w: World) -> None:
    await filled(w, "A")
    await w.tamper("A", {"price": 19.990000000000002})
    assert (await compare(w)).in_sync


@pytest.mark.parametrize(
    ("payload", "inside"),
    [
        ({"color": "Red"}, None),
        ({"price": 1.0}, None),
        ({"price_text": "19.990"}, None),
        ({"unknown": 1}, None),
        ({PROVENANCE: "mine"}, None),
        ({"row_hash": "0"}, PROVENANCE),
        ({"embedding_fingerprint": "0"}, PROVENANCE),
    ],
    ids=["column", "price", "exact price", "another column", "no provenance", "row hash", "fingerprint"],
)
async def test_a_payload_that_is_not_the_rows_is_stale(
    w: World, payload: dict[str, object], inside: str | None
) -> None:
    await filled(w, "A")
    await w.tamper("A", payload, inside)
    assert (await compare(w)).stale.examples == ["A"]


async def test_each_difference_is_named(w: World) -> None:
    await filled(w, "missing", "orphaned", "fine")
    payload = await w.payload("fine") or {}
    await w.remove("missing")
    w.lose_delete("orphaned")
    await w.put(7, {})
    stray = "5d0c6f0a-2f0e-5c5b-9d53-0b8c1f3c9a41"
    await w.put(stray, payload)
    report = await compare(w)
    assert report.missing.examples == ["missing"]
    assert sorted(report.orphaned.examples) == ["orphaned", f"point {stray}", "point 7"]
    assert not report.in_sync


async def test_a_probe_that_comes_and_goes_is_no_orphan(w: World) -> None:
    await filled(w, "A")
    await w.put(point_id("\0probe"), {})
    settle = w.settle

    async def removing() -> None:
        await w.remove("\0probe")
        await settle()

    w.settle = removing  # type: ignore[method-assign]
    assert (await compare(w)).in_sync


async def test_a_sample_looks_at_about_its_share_and_says_so(w: World) -> None:
    keys = [f"k{number}" for number in range(400)]
    await filled(w, *keys)
    report = await compare(w, share=0.25)
    assert (report.sample, report.rows, report.in_sync) == (0.25, 100, True)
    assert 60 <= report.points <= 140


@pytest.mark.parametrize("dense", [(0.0, 1.0), (-1.0, -0.01)], ids=["another", "opposite"])
async def test_a_vector_that_is_not_its_texts_has_drifted(w: World, dense: tuple[float, float]) -> None:
    await filled(w, "A", "B")
    await w.put(point_id("A"), await w.payload("A") or {}, dense)
    found = await Comparison.of(w.rows, w.store, settle=w.settle, sample_size=5)
    await found.run()
    assert (found.report.in_sync, sorted(found.sampled)) == (True, ["A", "B"])
    await compare_vectors(found, await w.check())
    assert (found.report.drifted.examples, found.report.vectors, found.report.in_sync) == (["A"], 2, False)


async def test_a_text_on_its_way_is_no_drift_of_its_vector(w: World) -> None:
    await filled(w, "A")
    w.update("A", name="Another name for it")
    found = await Comparison.of(w.rows, w.store, settle=w.settle)
    found.sampled = ["A"]
    await compare_vectors(found, await w.check())
    assert found.report.in_sync


async def test_the_vectors_to_compare_are_drawn_from_all_points(w: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparison, "PAGE", 10)
    await filled(w, *(f"k{number}" for number in range(60)))
    drawn: set[str] = set()
    for seed in range(20):
        found = await Comparison.of(w.rows, w.store, settle=w.settle, sample_size=5)
        found.chance = random.Random(seed)
        await found.run()
        assert len(set(found.sampled)) == 5
        drawn |= set(found.sampled)
    assert len(drawn) > 30
