"""The faults of a soak come from its seed."""

from itertools import islice

import pytest

from ops.bench.fault_plan import LANES, FaultKind, plan_faults


def test_the_same_seed_gives_the_same_faults_and_another_others() -> None:
    def first(seed: int) -> list[object]:
        return list(islice(plan_faults(seed, 0), 20))

    assert first(7) == first(7)
    assert first(7) != first(8)


@pytest.mark.parametrize("lane", range(len(LANES)))
def test_each_fault_of_a_lane_comes_before_any_comes_more_often(lane: int) -> None:
    faults = list(islice(plan_faults(3, lane), len(LANES[lane])))
    assert sorted(fault.kind for fault in faults) == sorted(LANES[lane])


def test_the_lanes_hold_every_kind() -> None:
    assert {kind for lane in LANES for kind in lane} == set(FaultKind)
