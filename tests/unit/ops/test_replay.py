"""Which offsets a replay reads, and what it refuses."""

from datetime import UTC, datetime, timedelta

import pytest

from connectors.kafka import Watermarks
from ops.replay import ReplayRange, check_times, plan_replay
from schemas.errors import ReplayError

NOW = datetime(2026, 11, 20, 10, tzinfo=UTC)
MARKS = {0: Watermarks(low=0, high=10), 1: Watermarks(low=5, high=8), 2: Watermarks(low=0, high=0)}


@pytest.mark.parametrize(
    ("starts", "ends", "offsets"),
    [
        ({0: 0, 1: 5, 2: 0}, None, {0: (0, 10), 1: (5, 8)}),
        ({1: 0}, None, {1: (5, 8)}),
        ({0: 9, 1: 8}, None, {0: (9, 10)}),
        ({0: 0, 1: 5}, {0: 4, 1: 5, 2: 0}, {0: (0, 4)}),
        ({0: 3}, {0: 99, 1: 99, 2: 99}, {0: (3, 10)}),
    ],
    ids=["beginning", "before the first record", "at the end", "until", "until the future"],
)
def test_range_of_each_partition(
    starts: dict[int, int], ends: dict[int, int] | None, offsets: dict[int, tuple[int, int]]
) -> None:
    plan = plan_replay(MARKS, starts, ends)
    assert {number: (start, plan.ends[number]) for number, start in plan.starts.items()} == offsets
    assert plan.offsets == {number: end - start for number, (start, end) in offsets.items()}


@pytest.mark.parametrize(
    ("starts", "message"),
    [
        ({7: 0}, r"has no partition 7"),
        ({0: 11}, r"\[0\]@11: the partition ends at 10"),
        ({0: 10, 2: 0}, "nothing to replay"),
    ],
    ids=["unknown partition", "beyond the end", "no record"],
)
def test_range_that_cannot_be_read_is_refused(starts: dict[int, int], message: str) -> None:
    with pytest.raises(ReplayError, match=message):
        plan_replay(MARKS, starts)


@pytest.mark.parametrize(
    ("since", "until", "message"),
    [
        (timedelta(seconds=1), None, "it lies in the future"),
        (-timedelta(hours=1), -timedelta(hours=1), "it does not lie after the beginning"),
    ],
    ids=["future", "until before from"],
)
def test_times_that_name_no_range_are_refused(since: timedelta, until: timedelta | None, message: str) -> None:
    asked = ReplayRange(from_time=NOW + since, until=None if until is None else NOW + until)
    with pytest.raises(ReplayError, match=message):
        check_times(asked, NOW)


def test_times_of_the_past_are_taken() -> None:
    check_times(ReplayRange(from_time=NOW - timedelta(days=1), until=NOW), NOW)
    check_times(ReplayRange(from_beginning=True), NOW)
