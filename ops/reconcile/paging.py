"""Reads ahead by one page, and cuts what is in memory into pages."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import suppress
from typing import TypeVar

Item = TypeVar("Item")


async def ahead(pages: AsyncIterator[Item]) -> AsyncGenerator[Item]:
    """The same pages in the same order; each is asked for while the one before it is worked on."""
    coming = asyncio.ensure_future(_next(pages))
    try:
        while found := await coming:
            coming = asyncio.ensure_future(_next(pages))
            yield found[0]
    finally:
        # Its reader may have left in the middle: what is under way must not outlive the connection it uses.
        coming.cancel()
        with suppress(asyncio.CancelledError):
            await coming


async def _next(pages: AsyncIterator[Item]) -> tuple[Item] | None:
    try:
        return (await anext(pages),)
    except StopAsyncIteration:
        return None


def pages_of(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    """The items in their order, at most `size` at a time."""
    return (items[start : start + size] for start in range(0, len(items), size))
