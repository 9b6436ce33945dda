"""When a worker may act on a batch."""

import pytest

from streams.lease import GenerationLease, Pulse
from streams.ports import LeaseLostError


class StoppedError(Exception):
    """Stands for the end of the process."""


def stop(reason: str) -> None:
    raise StoppedError(reason)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def lease(clock: Clock, current: int = 1) -> GenerationLease:
    pulse = Pulse(limit_seconds=5.0, stop=stop, clock=clock)  # type: ignore[arg-type]
    return GenerationLease(generation=1, current_generation=lambda: current, pulse=pulse)


def test_a_batch_of_this_generation_may_be_written() -> None:
    lease(Clock()).check()


def test_a_batch_of_an_older_generation_is_dropped() -> None:
    with pytest.raises(LeaseLostError):
        lease(Clock(), current=2).check()


def test_promise_2_a_worker_that_was_paused_ends_instead_of_writing() -> None:
    clock = Clock()
    held = lease(clock)
    clock.now = 5.1
    with pytest.raises(StoppedError, match=r"stood still for 5\.1 s"):
        held.check()


async def test_the_time_before_the_loop_runs_does_not_count() -> None:
    clock = Clock()
    pulse = Pulse(limit_seconds=5.0, stop=stop, clock=clock)  # type: ignore[arg-type]
    clock.now = 100.0
    beating = pulse.keep()
    beating.send(None)
    assert pulse.silence_seconds() == 0.0
    beating.close()
