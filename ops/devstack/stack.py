"""The whole stack without Docker: its services started together, prepared, and ended in order."""

import asyncio
import os
import signal
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from filelock import FileLock, Timeout
from pydantic import SecretStr

from connectors.kafka import KafkaAdmin
from ops.devstack.artifacts import Artifacts, Fetch, Progress, cache_directory, read_lock
from ops.devstack.connect import PASSWORD_VARIABLE, Connect
from ops.devstack.home import StackHome
from ops.devstack.kafka import Kafka
from ops.devstack.ports import Ports
from ops.devstack.postgres import DATABASE, SUPERUSER, Postgres
from ops.devstack.preparation import prepare, start_capture
from ops.devstack.qdrant import Qdrant
from ops.devstack.service import Server, Service
from ops.devstack.stack_env import write_stack_env
from ops.devstack.worker import Worker
from ops.settings import Settings, stack_env_file
from schemas.errors import SettingsError, StackError

SERVICES = ("kafka", "connect", "postgres", "qdrant")
# Connect before Postgres, which would wait for it; the broker last, because everybody talks to it.
_STOP_ORDER = (("connect", "qdrant"), ("postgres",), ("kafka",))
_KILL_SECONDS = 20.0
_GIVEN_SECONDS = 10.0

Say = Callable[[str], None]


class Stack:
    """Servers and workers of one directory. What runs there already, whoever started it, counts as ours.

    `services` are those to run; the others' addresses are taken from the settings. With `usual_ports=False` every port
    is a free one, so that several stacks run side by side. `say` takes a line for each step; `progress` shows
    how far a download is. `for_workers` gives the workers other settings than everybody else has.

    As a context manager it starts everything and stops everything. It keeps nothing of an event loop, so its methods
    may be called from one loop after the other.
    """

    def __init__(
        self,
        settings: Settings,
        home: Path,
        *,
        services: Collection[str] = SERVICES,
        workers: int = 0,
        usual_ports: bool = True,
        say: Say | None = None,
        progress: Progress | None = None,
        for_workers: Callable[[Settings], Settings] = lambda settings: settings,
    ) -> None:
        self.home = StackHome(home)
        self._given = settings
        self._services = tuple(name for name in SERVICES if name in services)
        self._workers = tuple(f"worker-{number}" for number in range(1, workers + 1))
        self._say = say or (lambda line: None)
        self._progress = progress
        self._fetched: Artifacts | None = None
        self._ports = ports = Ports(self.home.ports_file, usual=usual_ports)
        self._kafka = Kafka(self.home, ports, self._artifacts)
        self._connect = Connect(
            self.home,
            ports,
            self._artifacts,
            brokers=lambda: self.settings.kafka.brokers,
            replication=settings.kafka.replication,
            debezium_password=self._debezium_password,
        )
        self._postgres = Postgres(self.home, ports)
        self._qdrant = Qdrant(self.home, ports)
        count = max(workers, *(number for number in self._worker_numbers()), 0)
        every: list[Service] = [self._kafka, self._connect, self._postgres, self._qdrant]
        every += [
            Worker(number, self.home, ports, lambda: for_workers(self.settings)) for number in range(1, count + 1)
        ]
        self._servers = {service.name: Server(service, self.home) for service in every}

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    @property
    def names(self) -> tuple[str, ...]:
        """What this stack is asked to run: services, then workers."""
        return self._services + self._workers

    @property
    def settings(self) -> Settings:
        """The settings with the addresses of what the stack runs. Raises `StackError` before the first start."""
        given = self._given
        ours: dict[str, object] = {}
        if "kafka" in self._services:
            ours["kafka"] = given.kafka.model_copy(update={"brokers": self._kafka.address})
        if "connect" in self._services:
            ours["connect"] = given.connect.model_copy(update={"url": self._connect.address})
        if "postgres" in self._services:
            dsn = self._postgres.dsn("lockstep", self.home.passwords().lockstep)
            ours["postgres"] = given.postgres.model_copy(update={"dsn": SecretStr(dsn)})
        if "qdrant" in self._services:
            ours["qdrant"] = given.qdrant.model_copy(update={"url": self._qdrant.address})
        ours["status"] = given.status.model_copy(update={"workers": self._pages()})
        return given.model_copy(update=ours | {"home": self.home.path})

    @property
    def admin_dsn(self) -> str | None:
        """The superuser of our Postgres, in its own database; None when Postgres is not ours."""
        if "postgres" not in self._services:
            return None
        return self._postgres.dsn(SUPERUSER, self.home.passwords().postgres, SUPERUSER)

    def address(self, name: str) -> str:
        """Where a service or worker answers."""
        return self._server(name).service.address

    def log_file(self, name: str) -> Path:
        """The log of a service or worker."""
        return self._server(name).process.log_file

    def pid(self, name: str) -> int | None:
        """The process of a service or worker, if it runs."""
        return self._server(name).process.pid

    def is_running(self, name: str) -> bool:
        """Whether the service or worker runs."""
        return self._server(name).process.is_running

    def running(self) -> tuple[str, ...]:
        """Everything that runs in this directory, asked for or not."""
        return tuple(name for name in self._servers if self.is_running(name))

    def how_it_ended(self, name: str) -> str:
        """What is known of the end of a service or worker that does not run."""
        return self._server(name).process.how_it_ended()

    def exit_code(self, name: str) -> int | None:
        """The exit code of a service or worker that has ended, if we started it; negative for a signal."""
        return self._server(name).process.exit_code

    async def start(self) -> tuple[str, ...]:
        """Start what does not run, prepare it, and wait until all is ready; gives the names of what was started.

        Raises:
            LockstepError: A part cannot be fetched, started or prepared. Servers started by this call are ended again.
        """
        servers = await self.start_servers()
        await self.prepare()
        await self.start_capture()
        return servers + await self.start_workers()

    async def start_servers(self) -> tuple[str, ...]:
        """The first step of `start`: the servers, nothing in them."""
        self.home.make()
        await self._check_what_is_given()
        with self._starting():
            stopped = [self._server(name) for name in self._services if not self.is_running(name)]
            # The workers' too: a port that a person set, and that is taken, is said before anything starts.
            for name in self.names:
                if not self.is_running(name):
                    self._server(name).service.choose_ports()
            if {"kafka", "connect"} & {server.name for server in stopped}:
                self._fetched = await self._fetch()
            await self._start_all(stopped)
            # Those that ran already may still be on their way.
            await all_at_once(
                self._server(name).start() for name in self._services if self._server(name) not in stopped
            )
        write_stack_env(self.settings, self.home.path, self._services)
        return tuple(server.name for server in stopped)

    async def prepare(self) -> None:
        """The second step: database, roles, topics, collection. Safe to repeat."""
        self._say("preparing database, topics and collection")
        await prepare(self.settings, admin_dsn=self.admin_dsn, database=DATABASE, passwords=self.home.passwords())

    async def start_capture(self) -> None:
        """The third: the connector. Rows that are in the table by now come as a snapshot. Safe to repeat."""
        self._say("starting capture")
        await start_capture(self.settings)

    async def start_workers(self) -> tuple[str, ...]:
        """The last."""
        with self._starting():
            stopped = [self._server(name) for name in self._workers if not self.is_running(name)]
            await self._start_all(stopped)
        return tuple(server.name for server in stopped)

    async def stop(self) -> tuple[str, ...]:
        """End everything that runs in this directory, in order; gives the names of what ran."""
        workers = tuple(name for name in self._servers if name not in SERVICES)
        ended: list[str] = []
        for names in (workers, *_STOP_ORDER):
            ran = [name for name in names if self.is_running(name)]
            await all_at_once(self._server(name).stop() for name in ran)
            ended += ran
        try:
            stack_env_file(self.home.path).unlink(missing_ok=True)
        except OSError as error:
            raise StackError(f"cannot remove {error.filename}: {error.strerror}") from error
        return tuple(ended)

    def wipe(self) -> None:
        """Remove all data of a stack that is stopped. Broker and database go together: one knows the other's place."""
        self._postgres.wipe()
        self.home.wipe()

    async def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal; unless it only pauses or wakes, return once the process and its children are gone."""
        process = self._server(name).process
        if number in (signal.SIGSTOP, signal.SIGCONT):
            process.send(number)
        else:
            await process.stop([(number, _KILL_SECONDS)])

    async def restart(self, name: str) -> None:
        """End it, if it runs, and start it again at the same address; returns once it answers."""
        server = self._server(name)
        await server.stop()
        if name in ("kafka", "connect"):
            self._fetched = await self._fetch()
        await server.start()

    def _server(self, name: str) -> Server:
        try:
            return self._servers[name]
        except KeyError as error:
            raise StackError(f"no service {name}", hint=f"one of {', '.join(self._servers)}") from error

    async def _check_what_is_given(self) -> None:
        """Say at once what would otherwise end Connect half a minute later."""
        self._debezium_password()
        if "connect" in self._services and "kafka" not in self._services:
            async with KafkaAdmin(self._given.kafka.brokers) as admin:
                await admin.wait_until_ready(_GIVEN_SECONDS)

    async def _start_all(self, servers: Collection[Server]) -> None:
        try:
            await all_at_once(self._start_one(server) for server in servers)
        except BaseException:
            await all_at_once(server.stop() for server in servers)
            raise

    async def _start_one(self, server: Server) -> None:
        self._say(f"starting {server.name}")
        await server.start()
        self._say(f"{server.name} is ready at {server.service.address}")

    async def _fetch(self) -> Artifacts:
        fetch = Fetch(cache_directory(), read_lock(), self._progress)
        try:
            return await asyncio.to_thread(fetch.run)
        except asyncio.CancelledError:
            fetch.stop()
            raise

    def _artifacts(self) -> Artifacts:
        assert self._fetched is not None, "the archives are fetched before a Java server is launched"
        return self._fetched

    def _debezium_password(self) -> str:
        if "postgres" in self._services or "connect" not in self._services:
            return self.home.passwords().debezium
        try:
            return os.environ[PASSWORD_VARIABLE]
        except KeyError as error:
            raise SettingsError(
                f"{PASSWORD_VARIABLE} is not set, and Postgres is one of your own",
                hint=f"set {PASSWORD_VARIABLE} to the password of the role debezium",
            ) from error

    def _pages(self) -> str | None:
        """The webs of the workers that are asked for or run, as far as they have a port yet."""
        workers = (
            name for name in self._servers if name in self._workers or (name not in SERVICES and self.is_running(name))
        )
        return ",".join(self.address(name) for name in workers if self._ports.knows(name)) or None

    def _worker_numbers(self) -> Iterator[int]:
        for path in self.home.run.glob("worker-*.pid"):
            yield int(path.stem.removeprefix("worker-"))

    @contextmanager
    def _starting(self) -> Iterator[None]:
        lock = FileLock(self.home.run / "start.lock")
        try:
            with lock.acquire(blocking=False):
                yield
        except Timeout as error:
            raise StackError("another command is starting this stack", hint="wait a moment, then try again") from error


async def all_at_once(work: Iterable[Any]) -> None:
    """Run all together; the first error ends the others, and is raised as itself."""
    try:
        async with asyncio.TaskGroup() as group:
            for one in work:
                group.create_task(one)
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from errors
