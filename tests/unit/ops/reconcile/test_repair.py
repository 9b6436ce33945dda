"""What a repair does to what was found, and what it leaves alone."""

from collections.abc import AsyncIterator

import pytest

from ops.reconcile import repair as repairs
from ops.reconcile.comparison import Comparison
from ops.reconcile.repair import Repair
from ops.reconcile.report import RepairReport
from ops.reconcile.run import planned
from ops.reconcile.vectors import compare_vectors
from schemas.document import PROVENANCE, point_id
from schemas.errors import ReplayError
from tests.fakes.world import World, world

STRAY = "5d0c6f0a-2f0e-5c5b-9d53-0b8c1f3c9a41"


@pytest.fixture
async def w() -> AsyncIterator[World]:
    async with world() as w:
        yield w


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repairs, "LOOK_EVERY_SECONDS", 0)


async def find(w: World) -> Comparison:
    found = await Comparison.of(w.rows, w.store, settle=w.settle, sample_size=100)
    await found.run()
    await compare_vectors(found, await w.check())
    return found


async def repair(w: World, found: Comparison, *, patience_seconds: float = 1.0) -> RepairReport:
    repair = Repair(
        rows=w.rows,
        store=w.store,
        audit=found.audit,
        live=found.live,
        log=w,
        note=w,
        settle=w.settle,
        vectors=await w.check(),
        watch_dead_letters=w.watch,
        epoch=0,
        patience_seconds=patience_seconds,
    )
    await repair.run(found.findings)
    return repair.report


async def filled(w: World, *keys: str) -> None:
    for key in keys:
        w.insert(key)
    await w.settle()


async def in_sync(w: World) -> bool:
    return (await find(w)).report.in_sync


async def test_promise_5_each_kind_of_difference_is_repaired_once(w: World) -> None:
    await filled(w, "missing", "stale", "drifted", "orphaned", "fine")
    payload = await w.payload("fine") or {}
    await w.remove("missing")
    await w.tamper("stale", {"color": "Red"})
    await w.put(point_id("drifted"), await w.payload("drifted") or {}, (0.0, 1.0))
    w.lose_delete("orphaned")
    await w.put(point_id("ghost"), payload | {"article_id": "ghost"})
    await w.put(STRAY, payload)
    await w.put(7, {})

    report = await repair(w, await find(w))
    assert report.unrepaired == []
    assert (report.read_again, report.disowned, report.tombstones, report.removed) == (3, 1, 2, 2)
    assert await w.ids() == {point_id(key) for key in ("missing", "stale", "drifted", "fine")}
    assert await in_sync(w)
    assert w.table.entries.keys() >= {"orphaned"}
    assert (entry := w.table.get("orphaned")) is not None
    assert entry.deleted

    before = list(w.topic.records)
    again = await repair(w, await find(w))
    assert again == RepairReport(seconds=again.seconds)
    assert w.topic.records == before


async def test_a_stale_payload_keeps_its_vector(w: World) -> None:
    await filled(w, "A")
    embedded = list(w.embedder.embedded)
    await w.tamper("A", {"color": "Red"})
    found = await Comparison.of(w.rows, w.store, settle=w.settle)
    await found.run()
    await repair(w, found)
    assert w.embedder.embedded == embedded


@pytest.mark.parametrize("version", [2**49, "9", None, 1.5], ids=["ahead of the log", "text", "null", "fraction"])
async def test_a_point_whose_version_no_record_can_have_is_repaired(w: World, version: object) -> None:
    await filled(w, "A")
    await w.tamper("A", {"version": version}, PROVENANCE)
    await w.tamper("A", {"color": "Red"})
    report = await repair(w, await find(w))
    assert (report.unrepaired, report.disowned) == ([], 1)
    assert await in_sync(w)


async def test_an_orphan_whose_version_is_ahead_of_the_log_is_removed_by_its_id(w: World) -> None:
    await filled(w, "A")
    w.lose_delete("A")
    await w.tamper("A", {"version": 2**49}, PROVENANCE)
    report = await repair(w, await find(w))
    assert (report.unrepaired, report.tombstones, report.removed) == ([], 1, 1)
    assert await w.ids() == set()


@pytest.mark.parametrize("when", ["before its tombstone", "with its tombstone", "after its tombstone"])
async def test_promise_2_a_row_that_comes_back_is_not_harmed_and_stays_in_the_log(w: World, when: str) -> None:
    await filled(w, "A")
    w.lose_delete("A")
    found = await find(w)
    assert found.report.orphaned.examples == ["A"]
    write, settle = w.write, w.settle

    async def write_late(*arguments: object) -> None:
        if when == "with its tombstone":
            w.insert("A", name="It is back")  # the record stands below the tombstone
        await write(*arguments)  # type: ignore[arg-type]

    async def settle_late() -> None:
        if when == "after its tombstone" and "A" not in w.catalogue.rows:
            w.insert("A", name="It is back")
        await settle()

    w.write, w.settle = write_late, settle_late  # type: ignore[method-assign]
    if when == "before its tombstone":
        w.insert("A", name="It is back")
    report = await repair(w, found)
    assert report.unrepaired == []
    assert ((await w.payload("A")) or {})["name"] == "It is back"
    # What compaction keeps of the key is its row, never the tombstone.
    assert w.topic.records[-1].value is not None
    assert w.noted == []


async def test_a_row_that_came_back_while_a_repair_was_killed_is_read_again_by_the_next(w: World) -> None:
    await filled(w, "A")
    w.lose_delete("A")
    found = await find(w)

    class KilledError(Exception):
        pass

    async def killed() -> None:
        w.insert("A", name="It is back")
        raise KilledError

    settle, w.settle = w.settle, killed  # type: ignore[method-assign]
    with pytest.raises(KilledError):
        await repair(w, found)
    assert w.noted == ["A"]
    w.settle = settle  # type: ignore[method-assign]
    await repair(w, await find(w))
    assert (w.noted, w.catalogue.signalled) == ([], ["A"])


async def test_a_row_that_is_deleted_before_it_is_read_again_leaves_nothing(w: World) -> None:
    await filled(w, "A", "B")
    await w.remove("A", "B")
    found = await find(w)
    w.delete("A")
    report = await repair(w, found)
    assert report.unrepaired == []
    assert await w.ids() == {point_id("B")}


async def test_a_row_that_is_set_aside_again_is_named_with_its_dead_letter(w: World) -> None:
    await filled(w, "A", "B")
    await w.remove("A", "B")
    w.refuses = {"A"}
    report = await repair(w, await find(w))
    [left] = report.unrepaired
    assert (left.key, left.reason) == ("A", repairs.SET_ASIDE)
    assert left.dead_letter == str(w.topic.records[left_place(w)].place)
    assert await w.payload("B") is not None


def left_place(w: World) -> int:
    [letter] = w.dead_letters.letters
    return letter.record.place.offset


async def test_a_row_that_debezium_does_not_read_is_named(w: World) -> None:
    await filled(w, "A")
    await w.remove("A")
    found = await find(w)

    async def lost(keys: object) -> None:
        """Nobody reads the signal."""

    w.catalogue.signal_snapshot = lost  # type: ignore[method-assign]
    report = await repair(w, found, patience_seconds=0.0)
    assert [(left.key, left.reason) for left in report.unrepaired] == [("A", repairs.NOT_COME)]


async def test_a_row_whose_key_is_too_long_for_a_signal_is_named(w: World) -> None:
    key = "k" * (repairs.LONGEST_KEY_BYTES + 1)
    await filled(w, key)
    await w.remove(key)
    report = await repair(w, await find(w))
    assert [left.reason for left in report.unrepaired] == [repairs.TOO_LONG]
    assert w.catalogue.signalled == []


async def test_rows_are_read_again_in_chunks_with_a_wait_between(w: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repairs, "SIGNALLED_AT_ONCE", 2)
    keys = [f"k{number}" for number in range(5)]
    await filled(w, *keys)
    await w.remove(*keys)
    found = await find(w)
    outstanding = []
    signal = w.catalogue.signal_snapshot

    async def counted(asked: list[str]) -> None:
        outstanding.append(len([key for key in w.catalogue.signalled if await w.payload(key) is None]))
        await signal(asked)

    w.catalogue.signal_snapshot = counted  # type: ignore[method-assign,assignment]
    report = await repair(w, found)
    assert (report.read_again, outstanding) == (5, [0, 0, 0])


async def test_a_repair_of_a_collection_that_is_no_longer_live_ends(w: World) -> None:
    await filled(w, "A")
    await w.remove("A")
    found = await find(w)
    await w.move_alias("products-2")
    with pytest.raises(ReplayError, match="products-1 was replaced by products-2"):
        await repair(w, found)


async def test_the_plan_says_what_the_repair_then_does(w: World) -> None:
    await filled(w, "A", "B", "C")
    await w.remove("A")
    w.lose_delete("B")
    await w.put(7, {})
    found = await find(w)
    plan = planned(found.findings)
    assert (plan.dry_run, plan.read_again, plan.tombstones, plan.removed) == (True, 1, 1, 1)
    report = await repair(w, found)
    assert (report.read_again, report.tombstones, report.removed) == (1, 1, 1)
