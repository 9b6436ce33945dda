"""What every service of the stack tells about itself, and how one is started, awaited and ended."""

import asyncio
from pathlib import Path
from typing import Protocol

import aiohttp

from ops.devstack.home import StackHome
from ops.devstack.ports import HOST
from ops.devstack.processes import Launch, ServerProcess, StopSignals
from schemas.errors import BrokerError, StackError

_POLL_SECONDS = 0.05
_REQUEST_SECONDS = 2.0


class Service(Protocol):
    """One service: how it is launched, and when it answers."""

    name: str
    start_seconds: float
    """How long it may take until it answers."""
    stop_signals: StopSignals

    @property
    def mark(self) -> str:
        """A path in the stack's directory that stands in its command line and in no other's."""
        ...

    @property
    def address(self) -> str:
        """Where it answers, as a person reads it."""
        ...

    def choose_ports(self) -> None:
        """Choose ports anew, where they are taken; only while it does not run."""
        ...

    async def prepare_launch(self) -> Launch:
        """Make files and directories that it needs, and say how it is run. Raises `StackError`."""
        ...

    async def wait_until_ready(self) -> None:
        """Return once it answers; is cancelled when time is up."""
        ...


class Server:
    """A service and its process."""

    def __init__(self, service: Service, home: StackHome) -> None:
        self.service = service
        self.process = ServerProcess(
            service.name,
            pid_file=home.run / f"{service.name}.pid",
            log_file=home.logs / f"{service.name}.log",
            mark=lambda: service.mark,
        )

    @property
    def name(self) -> str:
        """The service's."""
        return self.service.name

    async def start(self) -> None:
        """Start it and wait until it answers. One that runs already is only waited for.

        Raises:
            StackError: It ended, or did not answer in time; it is left as it is.
        """
        if not self.process.is_running:
            self.process.start(await self.service.prepare_launch())
        ready = asyncio.create_task(self.service.wait_until_ready())
        try:
            async with asyncio.timeout(self.service.start_seconds):
                while not ready.done():
                    # A moment first: the program needs one to write its pid.
                    await asyncio.wait({ready}, timeout=0.2)
                    if not ready.done() and not self.process.is_running:
                        raise self._ended()
                await ready
        except (TimeoutError, BrokerError) as error:
            raise StackError(
                f"{self.name} does not answer at {self.service.address} after {self.service.start_seconds:g} s: "
                f"{self.process.last_words()}",
                hint=f"see {_shown(self.process.log_file)}",
            ) from error
        finally:
            ready.cancel()
            await asyncio.wait({ready})

    async def stop(self) -> bool:
        """End it; False if it did not run."""
        return await self.process.stop(self.service.stop_signals)

    def _ended(self) -> StackError:
        return StackError(
            f"{self.name} ended while it started: {self.process.last_words()}",
            hint=f"see {_shown(self.process.log_file)}",
        )


def _shown(path: Path) -> str:
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


async def until_listening(port: int) -> None:
    """Wait until something accepts connections there."""
    while True:
        try:
            _, writer = await asyncio.open_connection(HOST, port)
        except OSError:
            await asyncio.sleep(_POLL_SECONDS)
        else:
            writer.close()
            return


async def until_answers_ok(url: str) -> None:
    """Wait until a GET of the address gives 200."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_REQUEST_SECONDS)) as session:
        while True:
            try:
                async with session.get(url) as response:
                    if response.status == 200:
                        return
            except (aiohttp.ClientError, TimeoutError):
                pass
            await asyncio.sleep(_POLL_SECONDS)
