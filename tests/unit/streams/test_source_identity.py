"""Which topic a worker may read over the table that it has."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from schemas.errors import DecodeError, SettingsError
from schemas.indexed_row import IndexedRow
from schemas.record import OFFSET_BITS
from schemas.source_mark import SourceMark, source_mark_key
from streams.source_identity import SourceGuard, SourceTopic, judge_source
from streams.source_identity import SourceVerdict as Verdict

OLD, NEW, NONE = "topic-1", "topic-2", ""


def mark(epoch: int, topic_id: str) -> SourceMark:
    return SourceMark(epoch=epoch, topic_id=topic_id)


def version(epoch: int, offset: int) -> int:
    return (epoch << OFFSET_BITS) + offset


def judge(
    known: SourceMark | None, topic_id: str, epoch: int, *, newest: int | None = None, high: int = 100
) -> Verdict:
    return judge_source(known, topic="t", topic_id=topic_id, epoch=epoch, newest=newest, high=high)


@pytest.mark.parametrize(
    ("known", "topic_id", "epoch", "newest", "expected"),
    [
        pytest.param(None, OLD, 0, None, Verdict.MARK, id="empty table"),
        pytest.param(None, OLD, 0, version(0, 99), Verdict.MARK, id="table from before there were marks"),
        pytest.param(None, OLD, 1, version(0, 100), Verdict.READ_ANEW, id="no mark, log too short, epoch raised"),
        pytest.param(mark(0, OLD), OLD, 0, None, Verdict.GO_ON, id="same topic, same epoch"),
        pytest.param(mark(0, OLD), OLD, 1, None, Verdict.MARK, id="same topic, epoch raised for a failover"),
        pytest.param(mark(0, OLD), NEW, 1, None, Verdict.READ_ANEW, id="another topic, epoch raised"),
        pytest.param(mark(0, OLD), NEW, 7, None, Verdict.READ_ANEW, id="another topic, epoch raised by more"),
        pytest.param(mark(0, NONE), NONE, 0, version(0, 99), Verdict.GO_ON, id="no ids, log reaches past the table"),
        pytest.param(mark(0, NONE), NONE, 1, version(0, 99), Verdict.MARK, id="no ids, failover"),
        pytest.param(mark(0, NONE), NONE, 1, version(0, 100), Verdict.READ_ANEW, id="no ids, log too short, raised"),
        pytest.param(mark(1, NONE), NONE, 1, version(0, 100), Verdict.GO_ON, id="no ids, rows of the topic before"),
        pytest.param(mark(0, NONE), OLD, 0, version(0, 99), Verdict.MARK, id="the broker has ids now"),
        pytest.param(mark(0, OLD), NONE, 0, version(0, 99), Verdict.MARK, id="the broker has no ids any more"),
    ],
)
def test_worker_goes_on(
    known: SourceMark | None, topic_id: str, epoch: int, newest: int | None, expected: Verdict
) -> None:
    assert judge(known, topic_id, epoch, newest=newest) is expected


@pytest.mark.parametrize(
    ("known", "topic_id", "epoch", "newest", "needed"),
    [
        pytest.param(mark(2, OLD), OLD, 1, None, "=2", id="epoch of another worker is higher"),
        pytest.param(mark(2, OLD), NEW, 1, None, "=2", id="another topic, and still an older epoch"),
        pytest.param(None, OLD, 1, version(3, 5), "=3", id="rows of a higher epoch"),
        pytest.param(mark(0, OLD), NEW, 0, None, "to 1", id="another topic"),
        pytest.param(mark(4, OLD), NEW, 4, None, "to 5", id="another topic again"),
        pytest.param(None, OLD, 0, version(0, 100), "to 1", id="no mark, log too short"),
        pytest.param(mark(0, NONE), NONE, 0, version(0, 100), "to 1", id="no ids, log too short"),
        pytest.param(mark(1, NONE), NONE, 1, version(1, 100), "to 2", id="no ids, log too short again"),
    ],
)
def test_worker_stops_and_names_the_epoch_that_is_needed(
    known: SourceMark | None, topic_id: str, epoch: int, newest: int | None, needed: str
) -> None:
    with pytest.raises(SettingsError, match=r"epoch|made anew") as stopped:
        judge(known, topic_id, epoch, newest=newest)
    assert "LOCKSTEP_WORKER_EPOCH" in (stopped.value.hint or "")
    assert needed in (stopped.value.hint or "")


@dataclass
class RecordedMarks:
    """Marks in memory; `steps` says what was done to them and to the group's offsets, in order."""

    marks: dict[int, SourceMark] = field(default_factory=dict)
    newest: dict[int, int] = field(default_factory=dict)
    steps: list[str] = field(default_factory=list)
    looked_at_rows: bool = False

    def get(self, partition: int) -> SourceMark | None:
        return self.marks.get(partition)

    async def put(self, marks: Mapping[int, SourceMark]) -> None:
        if marks:
            self.steps.append(f"mark {sorted(marks)}")
        self.marks |= marks

    def newest_versions(self) -> Mapping[int, int]:
        self.looked_at_rows = True
        return self.newest

    async def read_from(self, offsets: Mapping[int, int]) -> None:
        self.steps.append(f"commit {dict(offsets)}")


def guard(marks: RecordedMarks, topic_id: str, epoch: int, committed: int = 10) -> SourceGuard:
    async def look() -> SourceTopic:
        return SourceTopic(
            name="t", topic_id=topic_id, low={0: 3, 1: 0}, high={0: 10, 1: 10}, committed={0: 10, 1: committed}
        )

    return SourceGuard(marks=marks, look=look, epoch=epoch)


async def test_promise_1_offsets_are_committed_before_a_mark_says_that_the_topic_is_known() -> None:
    marks = RecordedMarks({0: mark(0, OLD), 1: mark(0, OLD)})
    await guard(marks, NEW, 1).check([0, 1], marks.read_from)
    assert marks.steps == ["commit {0: 3, 1: 0}", "mark [0, 1]"]
    assert marks.marks == {0: mark(1, NEW), 1: mark(1, NEW)}


async def test_crash_between_commit_and_mark_reads_only_what_is_not_marked_anew() -> None:
    marks = RecordedMarks({0: mark(1, NEW), 1: mark(0, OLD)})
    await guard(marks, NEW, 1).check([0, 1], marks.read_from)
    assert marks.steps == ["commit {1: 0}", "mark [1]"]


async def test_one_partition_shows_for_all_that_a_topic_without_id_was_made_anew() -> None:
    marks = RecordedMarks({0: mark(0, NONE), 1: mark(0, NONE)}, newest={0: version(0, 4), 1: version(0, 20)})
    await guard(marks, NONE, 1).check([0, 1], marks.read_from)
    assert marks.steps == ["commit {0: 3, 1: 0}", "mark [0, 1]"]


async def test_nothing_is_written_when_one_partition_needs_another_epoch() -> None:
    marks = RecordedMarks({1: mark(0, OLD)})
    with pytest.raises(SettingsError):
        await guard(marks, NEW, 0).check([0, 1], marks.read_from)
    assert marks.steps == []


async def test_promise_1_log_that_lost_its_tail_is_not_taken_for_the_one_that_was_read() -> None:
    marks = RecordedMarks({0: mark(0, OLD), 1: mark(0, OLD)})
    with pytest.raises(SettingsError, match="lost its tail: partition 1 ends at 10, and 11 is committed") as stopped:
        await guard(marks, OLD, 0, committed=11).check([0, 1], marks.read_from)
    assert "raise LOCKSTEP_WORKER_EPOCH to 1" in (stopped.value.hint or "")
    await guard(marks, OLD, 1, committed=11).check([0, 1], marks.read_from)
    assert marks.steps == ["commit {0: 3, 1: 0}", "mark [0, 1]"]


async def test_rows_are_not_looked_at_where_ids_decide() -> None:
    marks = RecordedMarks({0: mark(0, OLD)})
    await guard(marks, OLD, 0).check([0], marks.read_from)
    assert not marks.looked_at_rows


@pytest.mark.parametrize(
    ("topic_id", "high", "replaced"), [(OLD, 10, False), (OLD, 11, False), (NEW, 11, True), (OLD, 9, True)]
)
def test_topic_is_another_with_another_id_or_a_log_that_went_back(topic_id: str, high: int, replaced: bool) -> None:
    before = SourceTopic(name="t", topic_id=OLD, low={0: 0}, high={0: 10})
    assert SourceTopic(name="t", topic_id=topic_id, low={0: 0}, high={0: high}).replaces(before) is replaced


def test_mark_comes_back_from_its_bytes_and_is_no_row() -> None:
    for known in (mark(0, NONE), mark(1023, OLD)):
        assert SourceMark.from_bytes(known.to_bytes()) == known
        assert not known.to_bytes().endswith(b"\n"), "an entry without a body counts as a deleted row"
    with pytest.raises(DecodeError):
        IndexedRow.from_bytes(mark(1, OLD).to_bytes())
    for value in (b"", b"[1]\nsource", b'[1,"x"]\n', b"{}\nsource"):
        with pytest.raises(DecodeError, match="mark") as caught:
            SourceMark.from_bytes(value)
        assert caught.value.hint == "lockstep table rebuild"
    assert source_mark_key(3) == b"\x00source/3"
