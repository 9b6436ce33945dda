"""Tombstones that reconciliation writes for orphans, folded as worker and backfill fold them."""

import pytest

from schemas.action import SkipReason
from schemas.debezium import ORPHAN_HEADER
from schemas.indexed_row import IndexedRow
from schemas.recipe import Recipe
from schemas.record import Record
from streams.batch import Step, decode_batch, fold
from tests.fakes.pipeline import RowsInMemory, Topic

RECIPE = Recipe()


async def folded(*batches: list[Record]) -> Step:
    before: IndexedRow | None = None
    step: Step | None = None
    for batch in batches:
        received, refusals = decode_batch(batch, epoch=0, set_aside=())
        assert refusals == []
        step = await fold("A", received["A"], before, RECIPE, rows=RowsInMemory(), now_ms=0)
        before = step.after
    assert step is not None
    return step


def orphan(topic: Topic, seen: int) -> Record:
    return topic.append("A", None, ((ORPHAN_HEADER, str(seen).encode()),))


@pytest.mark.parametrize("one_batch", [True, False], ids=["in one batch", "in batches of their own"])
async def test_promise_2_a_row_that_came_back_outlives_its_orphans_tombstone(one_batch: bool) -> None:
    topic = Topic()
    records = [topic.create("A", name="old"), topic.create("A", name="back"), orphan(topic, seen=1)]
    step = await folded(records) if one_batch else await folded(*([record] for record in records))
    assert [skipped.reason for skipped in step.skipped] == [SkipReason.ROW_CAME_BACK]
    assert step.after is not None
    assert not step.after.deleted


@pytest.mark.parametrize("one_batch", [True, False], ids=["in one batch", "in batches of their own"])
async def test_an_orphan_is_deleted_and_may_come_again(one_batch: bool) -> None:
    topic = Topic()
    records = [topic.create("A", name="old"), orphan(topic, seen=1)]
    step = await folded(records) if one_batch else await folded(*([record] for record in records))
    assert step.after is not None
    assert step.after.deleted
    again = await folded(records, [topic.create("A", name="new")])
    assert again.after is not None
    assert not again.after.deleted
