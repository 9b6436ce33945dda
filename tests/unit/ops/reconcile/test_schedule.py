"""When a repeated run begins, and how it ends."""

import asyncio
import os
import signal
from datetime import timedelta

import pytest

from ops.reconcile.schedule import every, seconds_to_next


@pytest.mark.parametrize(
    ("now", "left"),
    [(100.0, 60.0), (130.0, 30.0), (159.9, 0.1), (160.0, 60.0), (401.0, 59.0)],
    ids=["at once", "in time", "just in time", "a whole turn long", "longer than five turns"],
)
def test_runs_begin_at_whole_turns_from_the_first_however_long_they_take(now: float, left: float) -> None:
    assert seconds_to_next(started=100.0, interval=60.0, now=now) == pytest.approx(left)


@pytest.mark.parametrize("working", [True, False], ids=["while it works", "while it waits"])
async def test_sigterm_ends_it_well(working: bool) -> None:
    ended = []

    async def work() -> None:
        asyncio.get_running_loop().call_soon(os.kill, os.getpid(), signal.SIGTERM)
        try:
            if working:
                await asyncio.Event().wait()
        finally:
            ended.append(True)

    async with asyncio.timeout(5):
        await every(timedelta(hours=24), work)
    assert ended == [True]


async def test_an_error_of_the_work_ends_it() -> None:
    async def work() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await every(timedelta(hours=24), work)


async def test_it_works_again() -> None:
    turns = []

    async def work() -> None:
        turns.append(True)
        if len(turns) == 3:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await every(timedelta(milliseconds=5), work)
