"""Where the time of a batch goes, by a clock of the test's own."""

import pytest

from streams.distribution import Distribution
from streams.stopwatch import Stage, Stopwatch


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_stage_inside_another_interrupts_it() -> None:
    clock = Clock()
    stopwatch = Stopwatch(clock)
    with stopwatch.stage(Stage.WRITE):
        clock.now += 1
        with stopwatch.stage(Stage.EMBED):
            clock.now += 10
        clock.now += 2
    clock.now += 100
    with stopwatch.stage(Stage.WRITE):
        clock.now += 4
    assert stopwatch.seconds == {Stage.WRITE: 7, Stage.EMBED: 10}


def test_time_before_an_error_counts() -> None:
    clock = Clock()
    stopwatch = Stopwatch(clock)

    def fail() -> None:
        with stopwatch.stage(Stage.WRITE):
            clock.now += 1
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        fail()
    clock.now += 1
    assert stopwatch.seconds == {Stage.WRITE: 1}


def test_a_bucket_holds_its_own_limit() -> None:
    spread = Distribution((1, 2))
    for value in (0.5, 1, 1.5, 2, 3):
        spread.observe(value)
    assert spread.cumulative() == [("1.0", 2), ("2.0", 4), ("+Inf", 5)]
    assert (spread.count, spread.total) == (5, 8)


def test_a_share_ends_in_a_bucket_or_above_all() -> None:
    spread = Distribution((1, 2))
    assert spread.bound_of(0.5) is None
    for value in (0.5, 0.6, 3):
        spread.observe(value)
    assert spread.bound_of(0.5) == 1
    assert spread.bound_of(0.99) is None
