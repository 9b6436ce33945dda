"""How far a worker says that it is behind."""

from dataclasses import dataclass, field

import pytest

from schemas.errors import BrokerError
from streams.lag import MOST_MARKS, UNKNOWN_AFTER_SECONDS, LagWatch, PartitionLag


@dataclass
class Mark:
    low: int
    high: int


@dataclass
class FakeBroker:
    reached: dict[int, int] = field(default_factory=dict)
    high: dict[int, int] = field(default_factory=lambda: {0: 0})
    away: bool = False

    async def committed(self, group: str, topic: str) -> dict[int, int]:
        if self.away:
            raise BrokerError("the broker is away")
        return dict(self.reached)

    async def watermarks(self, topic: str) -> dict[int, Mark]:
        return {partition: Mark(low=2, high=high) for partition, high in self.high.items()}


@dataclass
class Watched:
    broker: FakeBroker = field(default_factory=FakeBroker)
    in_hand: dict[int, int] = field(default_factory=dict)
    now: float = 1000.0
    watch: LagWatch = field(init=False)

    def __post_init__(self) -> None:
        self.watch = LagWatch(broker=self.broker, in_progress=lambda: self.in_hand, clock=lambda: self.now)

    async def after(self, seconds: float, *, committed: int, high: int) -> PartitionLag:
        self.now += seconds
        self.broker.reached[0], self.broker.high[0] = committed, high
        await self.watch.look()
        return self.lag()

    def lag(self) -> PartitionLag:
        return self.watch.of(frozenset({0}))[0]


@pytest.fixture
def w() -> Watched:
    return Watched()


async def test_nothing_is_told_before_the_first_look(w: Watched) -> None:
    assert w.lag() == PartitionLag(partition=0)


async def test_a_partition_in_step_has_no_lag(w: Watched) -> None:
    lag = await w.after(0, committed=10, high=10)
    assert (lag.committed, lag.high_watermark, lag.lag_records, lag.lag_seconds) == (10, 10, 0, 0.0)


async def test_a_partition_without_a_commit_is_read_from_its_low_watermark(w: Watched) -> None:
    w.broker.high[0] = 9
    await w.watch.look()
    assert (w.lag().committed, w.lag().lag_records) == (2, 7)


async def test_the_age_counts_from_when_the_oldest_waiting_record_was_seen(w: Watched) -> None:
    await w.after(0, committed=10, high=10)
    await w.after(2, committed=10, high=15)
    await w.after(10, committed=10, high=30)
    lag = await w.after(5, committed=10, high=30)
    assert (lag.lag_records, lag.lag_seconds) == (20, 15.0)
    assert (await w.after(0, committed=15, high=30)).lag_seconds == 5.0
    assert (await w.after(0, committed=30, high=30)).lag_seconds == 0.0


async def test_steady_traffic_is_as_old_as_its_oldest_record_not_as_the_traffic(w: Watched) -> None:
    for number in range(20):
        lag = await w.after(2, committed=10 * number, high=10 * number + 10)
    assert lag.lag_seconds is not None
    assert lag.lag_seconds <= 2.0


async def test_a_backlog_of_before_the_start_shows_its_age_once_it_is_in_hand(w: Watched) -> None:
    await w.after(0, committed=10, high=100)
    assert w.lag().lag_seconds == 0.0
    w.in_hand = {0: int((w.now - 3600) * 1000)}
    assert w.lag().lag_seconds == 3600.0


async def test_a_lag_that_was_seen_long_ago_is_not_told(w: Watched) -> None:
    await w.after(0, committed=10, high=10)
    w.broker.away = True
    with pytest.raises(BrokerError):
        await w.watch.look()
    assert w.lag().lag_records == 0
    w.now += UNKNOWN_AFTER_SECONDS + 1
    assert w.lag().lag_records is None


async def test_a_long_outage_is_remembered_in_few_marks_and_keeps_its_age(w: Watched) -> None:
    await w.after(0, committed=10, high=11)
    for number in range(1000):
        await w.after(2, committed=10, high=12 + number)
    assert w.lag().lag_seconds == 2000.0
    assert len(w.watch._marks[0]) <= MOST_MARKS + 1
