"""Runs something every so often, until it is told to end."""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from datetime import timedelta

Work = Callable[[], Awaitable[None]]


async def every(interval: timedelta, work: Work) -> None:
    """Do the work now, and again at each whole interval from now; work that takes longer skips a turn.

    SIGTERM ends it: the work is cancelled where it is under way.
    """
    task = asyncio.ensure_future(_again_and_again(interval.total_seconds(), work))
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, task.cancel)
    try:
        await asyncio.wait({task})
    finally:
        loop.remove_signal_handler(signal.SIGTERM)
        if not task.done():
            task.cancel()
            await asyncio.wait({task})
    if not task.cancelled():
        task.result()


async def _again_and_again(interval: float, work: Work) -> None:
    clock = asyncio.get_running_loop().time
    started = clock()
    while True:
        await work()
        await asyncio.sleep(seconds_to_next(started=started, interval=interval, now=clock()))


def seconds_to_next(*, started: float, interval: float, now: float) -> float:
    """How long it is to the next whole interval after the start."""
    return interval - (now - started) % interval
