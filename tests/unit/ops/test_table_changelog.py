"""What a rebuild writes, as a worker reads it, whole and after a kill half-way; and when it writes nothing."""

from collections.abc import Iterable
from types import SimpleNamespace

import pytest

from connectors import changelog_store
from connectors.changelog_store import ChangelogStore
from connectors.topic_writer import NewRecord
from ops.source import read_mark
from ops.table_rebuild import new_changelog, plan_rebuild
from schemas.errors import DecodeError, ReplayError
from schemas.source_mark import SourceMark
from streams.source_identity import SourceTopic
from streams.source_marks import FaustMarks
from tests.unit.connectors.test_changelog_store import FakeChangelog, Group

MARKS = {0: SourceMark(epoch=0, topic_id="old"), 1: SourceMark(epoch=3, topic_id="new")}
ENTRIES = {"a": (0, b"[5]\nrow"), "b": (1, b"[6]\nrow"), "c": (0, b"[7]\nrow")}


async def recovered(monkeypatch: pytest.MonkeyPatch, steps: Iterable[Iterable[NewRecord]]) -> ChangelogStore:
    """What a worker of both partitions knows after it has read a changelog of these steps."""
    changelog = FakeChangelog()
    for records in steps:
        for record in records:
            changelog.append(record.partition or 0, record.key, record.value)
    monkeypatch.setattr(changelog_store, "TopicReader", lambda brokers, topic: changelog)
    return await Group().assign(0, 1)


async def test_finished_changelog_holds_the_entries_and_the_marks(monkeypatch: pytest.MonkeyPatch) -> None:
    store = await recovered(monkeypatch, new_changelog(ENTRIES, MARKS))
    table = marks_of(store)
    assert {partition: table.get(partition) for partition in MARKS} == MARKS
    assert {key: store[key.encode()] for key in ENTRIES} == {key: value for key, (_, value) in ENTRIES.items()}
    assert len(store) == len(MARKS) + len(ENTRIES)
    assert not store.outdated_entries()


def marks_of(store: ChangelogStore) -> FaustMarks:
    async def nothing_is_sent(entries: object) -> None:
        raise AssertionError(entries)

    return FaustMarks(SimpleNamespace(data=store), nothing_is_sent)


@pytest.mark.parametrize("steps", [1, 2])
async def test_worker_accepts_no_partition_of_a_rebuild_that_was_killed(
    monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    store = await recovered(monkeypatch, new_changelog(ENTRIES, MARKS)[:steps])
    table = marks_of(store)
    for partition in MARKS:
        with pytest.raises(DecodeError) as refused:
            table.get(partition)
        assert refused.value.hint == "lockstep table rebuild"


def test_rebuild_after_one_that_was_killed_finds_its_marks() -> None:
    [unfinished, _, finished] = new_changelog({}, MARKS)
    for records in (unfinished, finished):
        assert [read_mark(record.value or b"") for record in records] == list(MARKS.values())
    assert read_mark(b"{}") is None


def test_topic_without_committed_offsets_is_left_to_a_worker() -> None:
    source = SourceTopic(name="t", topic_id="new", low={0: 7, 1: 7}, high={0: 7, 1: 8})
    with pytest.raises(ReplayError, match="has no committed offset on t") as refused:
        plan_rebuild(source, {}, {}, epoch=0)
    assert "start a worker instead" in (refused.value.hint or "")


def test_topic_without_records_needs_no_committed_offset() -> None:
    empty = SourceTopic(name="t", topic_id="new", low={0: 7}, high={0: 7})
    assert plan_rebuild(empty, {}, {}, epoch=0).ends == {0: 7}
