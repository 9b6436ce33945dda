"""Finds the items of a batch that are refused for good, and gets the others through."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from schemas.errors import LockstepError
from streams.retry_policy import Verdict, judge

Item = TypeVar("Item")


async def bisect(
    items: Sequence[Item], act: Callable[[Sequence[Item]], Awaitable[None]]
) -> list[tuple[Item, LockstepError]]:
    """Call `act` on the items, on halves of what it refuses, and so on; the items refused alone, each with its error.

    `act` must be safe to repeat. An error that is to be held or unknown is raised at once.
    """
    if not items:
        return []
    try:
        await act(items)
    except LockstepError as error:
        if judge(error) is not Verdict.SET_ASIDE:
            raise
        if len(items) == 1:
            return [(items[0], error)]
        middle = len(items) // 2
        return [*await bisect(items[:middle], act), *await bisect(items[middle:], act)]
    return []
