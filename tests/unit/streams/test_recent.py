"""What a worker says of the last half minute."""

from streams.counters import Counters
from streams.recent import WINDOW_SECONDS, Recent
from streams.stopwatch import Stage


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_rates_and_stages_are_those_of_the_window() -> None:
    clock, counters = Clock(), Counters()
    recent = Recent(counters=counters, clock=clock)
    assert recent.activity().records == 0
    counters.count_batch(1000, {Stage.EMBED: 9.0})
    recent.note()
    clock.now += 10
    counters.count_batch(30, {Stage.EMBED: 1.0})
    counters.count_batch(10, {Stage.EMBED: 3.0, Stage.WRITE: 1.0})
    activity = recent.activity()
    assert (activity.seconds, activity.records, activity.batches) == (10, 4.0, 0.2)
    assert activity.stage_seconds[Stage.EMBED] == 2.0
    assert activity.stage_seconds[Stage.WRITE] == 0.5


def test_what_lies_before_the_window_is_forgotten() -> None:
    clock, counters = Clock(), Counters()
    recent = Recent(counters=counters, clock=clock)
    for _ in range(100):
        recent.note()
        clock.now += 1
        counters.count_batch(5, {})
    activity = recent.activity()
    assert activity.records == 5.0
    assert activity.seconds <= WINDOW_SECONDS
    clock.now += 1000
    assert recent.activity().records == 0
