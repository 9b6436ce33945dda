"""The consumers that are measured, each started, killed and ended in the same way."""

import asyncio
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from connectors.kafka import KafkaAdmin
from ops.bench.backlog import committed_records
from ops.bench.one_worker import WORKER
from ops.bench.peers.tally import Tally
from ops.bench.worker_stages import look
from ops.devstack.stack import Stack
from ops.devstack.stack_env import environment_of
from streams.topics import APP_ID

RESTART_SECONDS = 1.0
"""What a supervisor waits before it starts again what has ended."""
END_SECONDS = 30.0
ROOT = Path(__file__).parents[3]


class Peer(Protocol):
    """A consumer that writes a collection of its own; it runs between `start` and `stop`, however often it ends."""

    name: str
    group: str
    collection: str

    async def start(self) -> None:
        """Run, until stopped."""

    async def kill(self) -> None:
        """End it in the middle of its work; it is started again."""

    async def stop(self) -> None:
        """End it in order."""

    async def applied(self) -> int:
        """How many records it has applied since the first start; asked only while it runs."""

    async def embeddings(self) -> int:
        """How many texts it has embedded since the first start; asked only after it was stopped."""


@dataclass(slots=True, kw_only=True)
class Script:
    """A program that is started again whenever it ends, by a kill or by itself."""

    name: str
    group: str
    collection: str
    stack: Stack
    module: str
    more: tuple[str, ...] = ()
    python: str = sys.executable
    _process: asyncio.subprocess.Process | None = field(init=False, default=None)
    _supervisor: asyncio.Task[None] | None = field(init=False, default=None)

    async def start(self) -> None:
        """Run, until stopped."""
        self._supervisor = asyncio.create_task(self._run_on())

    async def kill(self) -> None:
        """SIGKILL."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()

    async def stop(self) -> None:
        """SIGTERM, and SIGKILL where that does not help."""
        if self._supervisor is None:
            return
        self._supervisor.cancel()
        with suppress(asyncio.CancelledError):
            await self._supervisor
        self._supervisor = None

    async def applied(self) -> int:
        """As it noted, repeats too."""
        return Tally.read(self._tally).records

    async def embeddings(self) -> int:
        """As it noted."""
        return Tally.read(self._tally).embeddings

    @property
    def _tally(self) -> Path:
        return self.stack.home.logs / f"{self.group}.tally"  # wiped with the stack

    async def _run_on(self) -> None:
        arguments = (self.group, self.collection, str(self._tally), *self.more)
        environment = environment_of(self.stack.settings)
        with (self.stack.home.logs / f"{self.group}.log").open("ab") as log:
            while True:
                process = await asyncio.create_subprocess_exec(
                    *(self.python, "-m", self.module, *arguments), cwd=ROOT, env=environment, stdout=log, stderr=log
                )
                self._process = process
                try:
                    await process.wait()
                finally:
                    await _end(process)
                await asyncio.sleep(RESTART_SECONDS)


@dataclass(slots=True, kw_only=True)
class LockstepWorker:
    """The stack's first worker; it is expected to live through everything but a kill."""

    stack: Stack
    collection: str
    admin: KafkaAdmin
    name: str = "Lockstep"
    group: str = APP_ID
    _embeddings: int = field(init=False, default=0)
    """Made by workers that have ended."""

    async def start(self) -> None:
        """Run, until stopped."""
        await self.stack.restart(WORKER)

    async def kill(self) -> None:
        """SIGKILL, and a supervisor's start."""
        await self._end(signal.SIGKILL)
        await asyncio.sleep(RESTART_SECONDS)
        await self.stack.restart(WORKER)

    async def stop(self) -> None:
        """SIGTERM."""
        if self.stack.is_running(WORKER):
            await self._end(signal.SIGTERM)

    async def applied(self) -> int:
        """As its group has committed."""
        return await committed_records(self.admin)

    async def embeddings(self) -> int:
        """As its metrics said at each end."""
        return self._embeddings

    async def _end(self, number: signal.Signals) -> None:
        self._embeddings += int((await look([self.stack.address(WORKER)])).embeddings)
        await self.stack.kill(WORKER, number)


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        async with asyncio.timeout(END_SECONDS):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


async def has_quix(python: str) -> bool:
    """Whether that interpreter can import Quix Streams and all that its program needs."""
    try:
        process = await asyncio.create_subprocess_exec(
            *(python, "-c", "import ops.bench.peers.quix"),
            cwd=ROOT,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
    except OSError:
        return False
    return await process.wait() == 0


def peers_of(stack: Stack, admin: KafkaAdmin, *, live_collection: str, quix_python: str | None) -> Sequence[Peer]:
    """Lockstep, and those that it is compared with; collections but Lockstep's are yet to be made."""

    def script(name: str, group: str, module: str, *more: str, python: str = sys.executable) -> Script:
        return Script(name=name, group=group, collection=group, stack=stack, module=module, more=more, python=python)

    plain = "ops.bench.peers.plain_batches"
    peers: list[Peer] = [
        LockstepWorker(stack=stack, admin=admin, collection=live_collection),
        script("plain batches, commit after", "plain-after", plain, "after"),
        script("plain batches, auto-commit", "plain-auto", plain, "auto"),
    ]
    if quix_python is not None:
        peers.append(script("Quix Streams, own sink", "quix", "ops.bench.peers.quix", python=quix_python))
    return peers
