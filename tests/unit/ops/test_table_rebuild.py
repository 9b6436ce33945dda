"""What a rebuilt table holds: what the worker would have, and no more than it has handled."""

import pytest

from ops.table_rebuild import RebuildPlan, TableBuilder, plan_rebuild
from schemas.action import UpsertPoint
from schemas.debezium import decode_change
from schemas.errors import SettingsError
from schemas.indexed_row import IndexedRow
from schemas.recipe import Recipe
from schemas.record import Record
from schemas.source_mark import SourceMark
from streams.planner import plan, remember
from streams.source_identity import SourceTopic
from tests.fakes.pipeline import Topic

BIG = "__debezium_unavailable_value"


def source(topic_id: str = "new") -> SourceTopic:
    return SourceTopic(name="t", topic_id=topic_id, low={0: 5, 1: 0}, high={0: 20, 1: 9})


def builder(epoch: int = 0) -> TableBuilder:
    return TableBuilder(recipe=Recipe(), epoch=epoch)


async def build(records: list[Record], batch: int, epoch: int = 0) -> TableBuilder:
    table = builder(epoch)
    for start in range(0, len(records), batch):
        await table.add(records[start : start + batch])
    return table


def entry(table: TableBuilder, key: str) -> IndexedRow:
    return IndexedRow.from_bytes(table.entries[key][1])


@pytest.mark.parametrize("batch", [1, 2, 100])
async def test_entries_are_the_last_change_of_each_key_with_deletes_remembered(batch: int) -> None:
    topic = Topic()
    topic.create("a", price="1.00")
    topic.create("b")
    topic.update("a", price="2.00")
    topic.delete("b")
    topic.tombstone("b")
    table = await build(topic.records, batch, epoch=2)
    assert entry(table, "a").version == topic.records[2].place.version(2)
    assert b"2.00" in (entry(table, "a").row or b"")
    assert entry(table, "a").embedding_fingerprint
    assert entry(table, "b").deleted
    report = table.report(written=False, seconds=0)
    assert (report.records, report.keys, report.deleted, report.undecodable) == (5, 2, 1, 0)


@pytest.mark.parametrize("batch", [1, 100])
async def test_record_that_does_not_decode_is_counted_and_leaves_the_entry_incomplete(batch: int) -> None:
    topic = Topic()
    topic.create("a")
    topic.append("a", b"{")
    topic.append("unknown", b"{")
    table = await build(topic.records, batch)
    report = table.report(written=False, seconds=0)
    assert (report.keys, report.undecodable, report.incomplete) == (1, 2, 1)
    assert entry(table, "a").version == topic.records[0].place.version(0)


async def test_promise_1_a_column_that_the_log_does_not_carry_is_not_taken_from_postgres() -> None:
    """A row of today would hide the change that the worker has yet to apply."""
    topic = Topic()
    topic.create("a")
    topic.update("a", description=BIG)
    topic.update("b", description=BIG)
    topic.append("a", b"{")  # a gap: what stood before says nothing of an unchanged column any more
    topic.update("a", description=BIG)
    table = await build(topic.records, 100)
    assert "b" not in table.entries
    known = entry(table, "a")
    assert known.incomplete
    change = decode_change(topic.update("a"), epoch=0)
    assert isinstance(plan(change, known, remember(change, known, Recipe(), now_ms=0)), UpsertPoint)


async def test_deleted_entry_carries_the_time_of_the_log() -> None:
    topic = Topic()
    topic.create("a")
    delete = topic.delete("a")
    table = builder()
    await table.add([topic.records[0], Record(place=delete.place, key=delete.key, value=delete.value, timestamp_ms=77)])
    assert entry(table, "a").applied_at_ms == 77


def test_topic_is_read_up_to_what_the_worker_has_committed() -> None:
    known = {0: SourceMark(epoch=0, topic_id="new")}
    ours = SourceMark(epoch=0, topic_id="new")
    assert plan_rebuild(source(), {0: 12}, known, epoch=0) == RebuildPlan(
        starts={0: 5, 1: 0}, ends={0: 12, 1: 0}, marks={0: ours, 1: ours}
    )


def test_topic_made_anew_keeps_its_mark_for_the_worker_to_read_it_all() -> None:
    old = SourceMark(epoch=0, topic_id="old")
    plan = plan_rebuild(source(), {0: 12, 1: 9}, {0: old}, epoch=1)
    assert (plan.ends[0], plan.marks[0]) == (5, old)


def test_epoch_that_does_not_count_above_an_older_topic_is_refused() -> None:
    with pytest.raises(SettingsError) as refused:
        plan_rebuild(source(), {}, {0: SourceMark(epoch=0, topic_id="old")}, epoch=0)
    assert "LOCKSTEP_WORKER_EPOCH to 1" in (refused.value.hint or "")
