"""Runs the subscribers, each in a process of its own: what one does or fails to do is nothing to the other."""

import asyncio
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Self

from connectors.kafka import KafkaAdmin
from ops.demo.subscribers import audit_trail, price_drops
from ops.devstack.stack_env import environment_of
from ops.settings import Settings

STOP_WITHIN_SECONDS = 15.0

Tell = Callable[[str, str], None]
"""Takes the name of a subscriber, and a line that it printed."""

_MODULES: Mapping[str, ModuleType] = {"price-drops": price_drops, "audit-trail": audit_trail}


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscriber:
    """A subscriber that runs: its group on its topic."""

    name: str
    group: str
    topic: str
    process: Process


class Subscribers:
    """Both subscribers, and how far each has come."""

    def __init__(self, admin: KafkaAdmin, running: Sequence[Subscriber]) -> None:
        self._admin = admin
        self.running = running

    @classmethod
    @asynccontextmanager
    async def start(cls, settings: Settings, tell: Tell) -> AsyncIterator[Self]:
        """Start them; they are ended with the context, and what they printed until then is told.

        Raises:
            BrokerError: The broker cannot be reached, or a topic does not exist; none was started.
        """
        async with KafkaAdmin(settings.kafka.brokers) as admin:
            for module in _MODULES.values():
                await admin.watermarks(module.TOPIC)
            running: list[Subscriber] = []
            listening: list[asyncio.Task[None]] = []
            try:
                for name, module in _MODULES.items():
                    process = await _launch(module, settings)
                    running.append(Subscriber(name=name, group=module.GROUP, topic=module.TOPIC, process=process))
                    listening.append(asyncio.create_task(_listen(process, name, tell)))
                yield cls(admin, running)
            finally:
                await asyncio.gather(*(_end(each.process) for each in running), *listening)

    async def lag(self) -> dict[str, int]:
        """How many records each is behind, by name; of a group without offsets, all that the topic retains."""
        behind = {}
        for each in self.running:
            marks = await self._admin.watermarks(each.topic)
            committed = await self._admin.committed(each.group, each.topic)
            behind[each.name] = sum(
                max(0, at.high - max(at.low, committed.get(partition, 0))) for partition, at in marks.items()
            )
        return behind

    def ended(self) -> dict[str, int]:
        """The exit codes of those that have ended, by name."""
        return {each.name: code for each in self.running if (code := each.process.returncode) is not None}


async def _launch(module: ModuleType, settings: Settings) -> Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        module.__name__,
        env=environment_of(settings),
        stdout=PIPE,
        start_new_session=True,  # Ctrl-C is for us, who end them
    )


async def _listen(process: Process, name: str, tell: Tell) -> None:
    assert process.stdout is not None, "it is a pipe"
    async for line in process.stdout:
        tell(name, line.decode(errors="replace").rstrip())


async def _end(process: Process) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        async with asyncio.timeout(STOP_WITHIN_SECONDS):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
