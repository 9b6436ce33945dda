"""The demo on a stack without Docker."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ops.devstack.keeper import keep_worker
from ops.devstack.stack import Say, Stack
from ops.settings import Settings

WORKER = "worker-1"


class StackStage:
    """A stack with one worker. What an earlier run left of it is ended and wiped first; its data stays at the end."""

    cast = "Kafka, Connect, Postgres, Qdrant and a worker"

    def __init__(self, stack: Stack, say: Say) -> None:
        self._stack = stack
        self._say = say

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Start all but capture, and restart the worker when it ends."""
        stack = self._stack
        await stack.stop()
        stack.wipe()
        try:
            await stack.start_servers()
            await stack.prepare()
            await stack.start_workers()
            keeping = asyncio.create_task(keep_worker(stack, WORKER, self._say))
            try:
                yield
            finally:
                keeping.cancel()
                await asyncio.wait({keeping})
        finally:
            await stack.stop()

    @property
    def settings(self) -> Settings:
        """The stack's."""
        return self._stack.settings

    async def start_capture(self) -> None:
        """Apply the connector."""
        await self._stack.start_capture()

    async def pages(self) -> tuple[str, ...]:
        """The one worker's."""
        return (self._stack.address(WORKER),)

    async def worker(self) -> str:
        """Its process."""
        return str(self._stack.pid(WORKER))

    async def kill_worker(self) -> None:
        """Kill that process."""
        await self._stack.kill(WORKER, signal.SIGKILL)
