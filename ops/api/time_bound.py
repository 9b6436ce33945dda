"""Waits for work no longer than it was promised to take."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def ended(work: Coroutine[Any, Any, T], *, within_seconds: float) -> asyncio.Task[T] | None:
    """The work as a task that has ended, well or not; None when it has not in time: it is cancelled then.

    Unlike `asyncio.timeout` this does not wait until what was cancelled has come to its end: a connection to a server
    that hangs, for one, is given back only after that server has confirmed the cancellation.
    """
    task = asyncio.create_task(work)
    task.add_done_callback(_seen)
    try:
        done, _ = await asyncio.wait({task}, timeout=within_seconds)
    finally:
        task.cancel()
    return task if done else None


def _seen(task: asyncio.Task[Any]) -> None:
    """Tell asyncio that somebody knows of the failure, should nobody wait for the work any more."""
    if not task.cancelled():
        task.exception()
