"""One server as a container, behind the interface of a server's process."""

import asyncio
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from docker.errors import APIError, DockerException, NotFound
from docker.models.containers import Container
from testcontainers.core.container import DockerContainer

from ops.devstack.ports import HOST
from ops.devstack.processes import StopSignals, told_end
from schemas.errors import StackError
from tests.containers.engine import engine, network_named

_POLL_SECONDS = 0.05
_KILL_SECONDS = 10.0
_SIGNALLED = 128
"""An exit code above it is that of a signal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerLaunch:
    """How a server's container is made: `port` of the container becomes `host_port` of the loopback interface."""

    image: str
    environment: Mapping[str, str]
    port: int
    host_port: int
    alias: str
    """Its name for the other containers."""
    command: Sequence[str] = ()
    files: Mapping[str, Path] = field(default_factory=dict)
    """What is copied into it before it starts: content by place."""


class ContainerProcess:
    """A container in the place of a `ServerProcess`: another object with the same name finds it again.

    It is made at its first start. Ended and started again it keeps data and port, until it is removed.
    """

    def __init__(self, name: str, *, container_name: str, network: str, log_file: Path) -> None:
        self.name = name
        self.container_name = container_name
        self._network = network
        self._log_file = log_file

    @property
    def is_running(self) -> bool:
        """Whether it runs, or is paused."""
        container = self._find()
        return container is not None and container.attrs["State"]["Running"]

    @property
    def pid(self) -> int | None:
        """Its pid where the engine runs, if it runs."""
        container = self._find()
        return (container.attrs["State"]["Pid"] or None) if container else None

    @property
    def exit_code(self) -> int | None:
        """Of one that has ended; negative for a signal."""
        container = self._find()
        if container is None or container.attrs["State"]["Running"]:
            return None
        code: int = container.attrs["State"]["ExitCode"]
        return code if code <= _SIGNALLED else _SIGNALLED - code

    @property
    def log_file(self) -> Path:
        """Its log up to now, written out anew."""
        if container := self._find():
            self._log_file.write_bytes(container.logs())
        return self._log_file

    def how_it_ended(self) -> str:
        """Its exit code and last words, or its signal."""
        return told_end(self.exit_code, log_file=self.log_file, last_words=self.last_words)

    def start(self, launch: ContainerLaunch) -> None:
        """Start it, made if there is none yet.

        Raises:
            StackError: The engine refuses.
        """
        try:
            if container := self._find():
                container.start()
            else:
                self._make(launch)
        except DockerException as error:
            raise StackError(f"cannot start {self.name} from {launch.image}: {error}") from error

    def send(self, number: signal.Signals) -> None:
        """Pause it for SIGSTOP, wake it for SIGCONT: all of its processes, where a signal would reach its first."""
        if container := self._find():
            container.pause() if number is signal.SIGSTOP else container.unpause()

    async def stop(self, signals: StopSignals) -> bool:
        """End it, with SIGKILL if nothing else helps. False if it did not run."""
        if not self.is_running:
            return False
        for number, seconds in (*signals, (signal.SIGKILL, _KILL_SECONDS)):
            self._signal(number)
            if await self._gone(seconds):
                break
        return True

    def remove(self) -> None:
        """Remove it with its data."""
        if container := self._find():
            container.remove(force=True, v=True)

    def last_words(self) -> str:
        """The last line of its log."""
        container = self._find()
        lines = container.logs(tail=20).decode(errors="replace").splitlines() if container else []
        return next((line.strip() for line in reversed(lines) if line.strip()), "it wrote nothing to its log")[:300]

    def _find(self) -> Container | None:
        try:
            return engine().containers.get(self.container_name)
        except NotFound:
            return None

    def _make(self, launch: ContainerLaunch) -> None:
        container = DockerContainer(launch.image, env=dict(launch.environment), name=self.container_name)
        container.with_network(network_named(self._network)).with_network_aliases(launch.alias)
        if launch.command:
            container.with_command(list(launch.command))
        for place, content in launch.files.items():
            container.with_copy_into_container(content, place)
        # Not by `with_bind_ports`, which would open it to other machines.
        container.ports[f"{launch.port}/tcp"] = (HOST, launch.host_port)
        container.start()

    def _signal(self, number: signal.Signals) -> None:
        container = self._find()
        try:
            if container is not None:
                container.kill(number.name)
        except APIError:
            if self.is_running:  # else it has ended by itself meanwhile
                raise

    async def _gone(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                while self.is_running:
                    await asyncio.sleep(_POLL_SECONDS)
        except TimeoutError:
            return False
        return True
