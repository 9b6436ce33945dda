"""The age is a bound that holds: no change older than it is missing from the index."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from connectors.kafka import Watermarks
from ops.index_age import MOST_MARKS, IndexAge
from schemas.errors import BrokerError


@dataclass
class Line:
    """A pipeline of one partition: bytes of WAL written and confirmed, records on the topic and committed."""

    now: float = 0.0
    written: int = 0
    confirmed: int = 0
    high: int = 0
    committed_offset: int = 0
    down: bool = False

    async def wal_position(self) -> str:
        return str(self.written)

    async def slot_confirmed(self, slot: str, position: str) -> bool:
        return self.confirmed >= int(position)

    async def watermarks(self, topic: str) -> dict[int, Watermarks]:
        if self.down:
            raise BrokerError("no broker")
        return {0: Watermarks(low=0, high=self.high)}

    async def committed(self, group: str, topic: str) -> dict[int, int]:
        if self.down:
            raise BrokerError("no broker")
        return {0: self.committed_offset} if self.committed_offset else {}

    def write(self, records: int = 1) -> None:
        self.written += records

    def capture(self) -> None:
        self.confirmed = self.high = self.written

    def apply(self) -> None:
        self.committed_offset = self.high


@pytest.fixture
def line() -> Line:
    return Line()


@pytest.fixture
def age(line: Line) -> IndexAge:
    return IndexAge(line, line, clock=lambda: line.now)


async def test_age_is_unknown_before_the_first_look(age: IndexAge) -> None:
    assert age.seconds is None


async def test_a_pipeline_that_is_caught_up_is_as_old_as_the_last_look(line: Line, age: IndexAge) -> None:
    line.write()
    line.capture()
    line.apply()
    await age.look()
    assert age.seconds == 0
    line.now = 0.7
    assert age.seconds == 0.7


async def test_age_grows_while_debezium_has_not_confirmed_a_change(line: Line, age: IndexAge) -> None:
    await age.look()
    line.write()
    for line.now in (1.0, 2.0, 3.0):
        await age.look()
        assert age.seconds == line.now
    line.capture()
    line.apply()
    line.now = 4.0
    await age.look()
    assert age.seconds == 0


async def test_age_grows_while_the_worker_has_not_applied_a_change(line: Line, age: IndexAge) -> None:
    await age.look()
    line.write()
    line.capture()
    for line.now in (1.0, 2.0, 3.0):
        await age.look()
        assert age.seconds == line.now
    line.apply()
    line.now = 4.0
    await age.look()
    assert age.seconds == 0


async def test_a_worker_that_follows_at_a_distance_is_that_old(line: Line, age: IndexAge) -> None:
    for line.now in map(float, range(10)):
        line.write()
        line.capture()
        line.committed_offset = max(0, line.high - 3)
        await age.look()
    assert age.seconds == 3


async def test_nothing_is_captured_without_a_slot(line: Line, age: IndexAge, monkeypatch: pytest.MonkeyPatch) -> None:
    async def no_slot(slot: str, position: str) -> None:
        return None

    monkeypatch.setattr(line, "slot_confirmed", no_slot)
    await age.look()
    assert age.seconds is None


async def test_age_is_found_again_after_the_topic_was_made_anew(line: Line, age: IndexAge) -> None:
    line.write(10)
    line.capture()
    await age.look()
    line.high = line.committed_offset = 2
    line.now = 5.0
    await age.look()
    assert age.seconds == 0


async def test_age_is_unknown_while_the_broker_is_away(line: Line, age: IndexAge) -> None:
    line.capture()
    async with age.watched():
        await until(lambda: age.seconds is not None)
    line.down = True
    async with age.watched():
        await until(lambda: age.seconds is None)
    line.down = False
    async with age.watched():
        await until(lambda: age.seconds is not None)


async def test_memory_is_bounded_however_long_nothing_moves(line: Line, age: IndexAge) -> None:
    await age.look()
    for line.now in map(float, range(1, 5 * MOST_MARKS)):
        line.write()
        await age.look()
    assert age.seconds == line.now
    assert len(age._written) <= MOST_MARKS
    line.capture()
    line.apply()
    await age.look()
    assert age.seconds == 0


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0)
