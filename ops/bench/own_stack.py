"""A stack that a measurement has for itself: its servers empty at the start, ended and wiped at the end."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ops.devstack.stack import Stack


@asynccontextmanager
async def own_stack(stack: Stack) -> AsyncIterator[Stack]:
    """Its servers run and are prepared; capture and workers are left to the block. Wiped however the block ends.

    Raises:
        LockstepError: A part cannot be started or prepared.
    """
    await stack.stop()
    stack.wipe()
    try:
        await stack.start_servers()
        await stack.prepare()
        yield stack
    finally:
        await stack.stop()
        stack.wipe()
