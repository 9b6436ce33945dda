"""What the planner decides, as a table."""

from dataclasses import replace
from decimal import Decimal

import pytest

from schemas.action import (
    Action,
    DeletePoint,
    Keep,
    OverwritePayload,
    Skip,
    SkipReason,
    UpsertPoint,
    VerifyPoint,
)
from schemas.change import Change, Operation
from schemas.indexed_row import IndexedRow
from schemas.product import Product
from schemas.recipe import Recipe
from schemas.record import Place
from streams.planner import plan, remember

RECIPE = Recipe()
ROW = Product(id=1, article_id="A1", name="Strap top", description="Jersey.", price=Decimal("19.99"))
CHEAPER = replace(ROW, price=Decimal("9.99"))
RENAMED = replace(ROW, name="Tank top")


def change(
    operation: Operation,
    offset: int = 10,
    row: Product | None = None,
    lsn: int | None = 500,
    source_time_ms: int | None = 500,
    epoch: int = 0,
    void_from: int | None = None,
) -> Change:
    place = Place(topic="t", partition=0, offset=offset)
    return Change(
        operation=operation,
        key="A1",
        version=place.version(epoch),
        place=place,
        row=row,
        lsn=lsn,
        source_time_ms=source_time_ms,
        void_from=void_from,
    )


def entry(row: Product | None, recipe: Recipe = RECIPE, offset: int = 5, lsn: int = 400) -> IndexedRow:
    """What is remembered after a create (or a delete, for None) at an offset."""
    operation = Operation.CREATE if row else Operation.DELETE
    return remember(change(operation, offset, row, lsn, source_time_ms=400), None, recipe, now_ms=0)


C, U, D, R, T = (
    Operation.CREATE,
    Operation.UPDATE,
    Operation.DELETE,
    Operation.SNAPSHOT_READ,
    Operation.TOMBSTONE,
)
OTHER_RECIPE = Recipe(separator=" | ")


@pytest.mark.parametrize(
    ("coming", "indexed", "wanted"),
    [
        pytest.param(change(C, row=ROW), None, UpsertPoint(), id="create of an unknown key"),
        pytest.param(change(R, row=ROW), None, UpsertPoint(), id="snapshot read of an unknown key"),
        pytest.param(change(U, row=ROW), None, UpsertPoint(), id="update of an unknown key"),
        pytest.param(change(D), None, DeletePoint(), id="delete of an unknown key"),
        pytest.param(change(T), None, DeletePoint(), id="tombstone of an unknown key"),
        pytest.param(change(U, row=RENAMED), entry(ROW), UpsertPoint(), id="text differs"),
        pytest.param(change(U, row=CHEAPER), entry(ROW), OverwritePayload(), id="price differs"),
        pytest.param(change(U, row=ROW), entry(ROW), Keep(), id="row the same"),
        pytest.param(change(C, row=ROW), entry(ROW), VerifyPoint(), id="create of a living row: a delete was missed"),
        pytest.param(change(C, row=CHEAPER), entry(ROW), VerifyPoint(), id="create of a living row, price differs"),
        pytest.param(change(R, row=ROW), entry(ROW), VerifyPoint(), id="snapshot read of a known row"),
        pytest.param(change(U, row=ROW), entry(ROW, OTHER_RECIPE), UpsertPoint(), id="the recipe is another"),
        pytest.param(change(D), entry(ROW), DeletePoint(), id="delete"),
        pytest.param(change(T), entry(ROW), DeletePoint(), id="tombstone of a living row"),
        pytest.param(change(T), entry(None), Keep(), id="tombstone after its delete"),
        pytest.param(change(T, lsn=None, void_from=6), entry(ROW), DeletePoint(), id="orphan that is believed alive"),
        pytest.param(change(T, lsn=None, void_from=0), None, DeletePoint(), id="orphan that nobody knows"),
        pytest.param(change(T, lsn=None, void_from=6), entry(None), Keep(), id="orphan that is deleted by now"),
        pytest.param(
            change(T, lsn=None, void_from=5),
            entry(ROW),
            Skip(SkipReason.ROW_CAME_BACK),
            id="orphan whose row came back where the look had ended",
        ),
        pytest.param(change(D), entry(None), Keep(), id="delete of a deleted row"),
        pytest.param(change(C, row=ROW), entry(None), UpsertPoint(), id="insert again after a delete"),
        pytest.param(
            change(U, offset=5, row=CHEAPER),
            entry(ROW),
            Skip(SkipReason.REDELIVERED_BY_BROKER),
            id="the indexed offset again",
        ),
        pytest.param(
            change(D, offset=4), entry(ROW), Skip(SkipReason.REDELIVERED_BY_BROKER), id="delete at an older offset"
        ),
        pytest.param(
            change(U, row=CHEAPER, lsn=399, source_time_ms=400),
            entry(ROW),
            Skip(SkipReason.REDELIVERED_BY_DEBEZIUM),
            id="older lsn at a newer offset",
        ),
        pytest.param(
            change(C, row=ROW, lsn=399, source_time_ms=400),
            entry(None),
            Skip(SkipReason.REDELIVERED_BY_DEBEZIUM),
            id="older create does not revive a deleted row",
        ),
        pytest.param(
            change(T, lsn=399, source_time_ms=400),
            entry(ROW),
            Skip(SkipReason.REDELIVERED_BY_DEBEZIUM),
            id="older tombstone does not remove an inserted row",
        ),
        pytest.param(
            change(U, row=CHEAPER, lsn=399, source_time_ms=401),
            entry(ROW),
            OverwritePayload(),
            id="lsn lower, time later",
        ),
        pytest.param(
            change(U, row=CHEAPER, lsn=399, source_time_ms=400, epoch=1),
            entry(ROW),
            OverwritePayload(),
            id="lsn lower after a failover: the epoch was raised",
        ),
        pytest.param(
            change(R, row=CHEAPER, lsn=1, source_time_ms=1),
            entry(ROW),
            VerifyPoint(),
            id="snapshot read is not held to the lsn",
        ),
        pytest.param(change(T, lsn=None), entry(ROW), DeletePoint(), id="tombstone without headers"),
    ],
)
def test_plan_chooses_one_action(coming: Change, indexed: IndexedRow | None, wanted: Action) -> None:
    assert plan(coming, indexed, remember(coming, indexed, RECIPE, now_ms=1)) == wanted


@pytest.mark.parametrize(
    ("coming", "indexed", "wanted"),
    [
        pytest.param(change(U, row=ROW), entry(ROW), OverwritePayload(), id="row as before the batch"),
        pytest.param(change(T), entry(None), DeletePoint(), id="deleted as before the batch"),
    ],
)
def test_a_key_that_changed_in_between_is_written_with_its_new_version(
    coming: Change, indexed: IndexedRow, wanted: Action
) -> None:
    after = remember(coming, indexed, RECIPE, now_ms=1)
    assert plan(coming, indexed, after) == Keep()
    assert plan(coming, indexed, after, collapsed=True) == wanted


def test_snapshot_read_leaves_the_lsn_of_the_last_change() -> None:
    before = entry(ROW)
    after = remember(change(R, row=ROW, lsn=9999, source_time_ms=9999), before, RECIPE, now_ms=1)
    assert (after.lsn, after.source_time_ms) == (before.lsn, before.source_time_ms)
    assert after.version > before.version


def test_first_snapshot_read_sets_no_lsn() -> None:
    # A transaction in flight at the snapshot commits later with a lower lsn.
    read = remember(change(R, row=ROW, lsn=9999), None, RECIPE, now_ms=1)
    in_flight = change(U, offset=11, row=CHEAPER, lsn=100)
    assert plan(in_flight, read, remember(in_flight, read, RECIPE, now_ms=1)) == OverwritePayload()


def test_delete_keeps_the_version_and_no_row() -> None:
    after = remember(change(D), entry(ROW), RECIPE, now_ms=1)
    assert after.deleted
    assert after.version == change(D).version


def test_indexed_row_survives_its_encoding() -> None:
    for row in (ROW, None):
        assert IndexedRow.from_bytes(entry(row).to_bytes()) == entry(row)
