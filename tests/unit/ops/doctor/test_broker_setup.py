"""Which partitions count as standing still."""

from collections.abc import Mapping
from typing import Any, cast

import pytest

from connectors.kafka import KafkaAdmin
from ops.doctor import broker_setup
from ops.doctor.broker_setup import stuck_partitions


class Committing:
    """A group whose committed offsets are these, look after look; the last ones stay."""

    def __init__(self, *looks: Mapping[int, int]) -> None:
        self._looks = list(looks)
        self.asked = 0

    async def committed(self, group: str, topic: str) -> Mapping[int, int]:
        self.asked += 1
        return self._looks.pop(0) if len(self._looks) > 1 else self._looks[0]


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker_setup, "STUCK_SECONDS", 0.05)
    monkeypatch.setattr(broker_setup, "LOOK_EVERY_SECONDS", 0.001)


async def stuck(admin: Any, lag: dict[int, int], committed: dict[int, int]) -> dict[int, int]:
    return await stuck_partitions(cast(KafkaAdmin, admin), lag, committed)


async def test_a_partition_whose_offset_stays_is_stuck() -> None:
    assert await stuck(Committing({0: 5, 1: 9}), {0: 3, 1: 2}, {0: 5, 1: 7}) == {0: 3}


async def test_a_partition_that_moves_late_is_not() -> None:
    assert await stuck(Committing({0: 5}, {0: 5}, {0: 6}), {0: 3}, {0: 5}) == {}


async def test_a_partition_without_any_commit_is_stuck_until_its_first() -> None:
    assert await stuck(Committing({}), {0: 3}, {}) == {0: 3}
    assert await stuck(Committing({}, {0: 1}), {0: 3}, {}) == {}


async def test_without_lag_nothing_is_waited_for() -> None:
    admin = Committing({0: 5})
    assert await stuck(admin, {0: 0}, {0: 5}) == {}
    assert admin.asked == 0
