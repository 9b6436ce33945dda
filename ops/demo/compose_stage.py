"""The demo on containers: docker-compose.yml as a project of its own, beside one that may run already."""

import asyncio
import os
import secrets
import time
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
from pydantic import SecretStr

from ops.devstack.ports import HOST, Ports
from ops.settings import Settings
from schemas.errors import StackError

PROJECT = "lockstep-demo"
WORKERS = 2
ROOT = Path(__file__).parents[2]
SERVERS = ("postgres", "redpanda", "connect", "qdrant")

PORTS = {"postgres": 5432, "redpanda": 19092, "connect": 8083, "qdrant": 6333, "worker": 6066}
"""Inside the containers. Docker chooses free ones outside, but for the broker, which must know its own beforehand."""
_LOOK_AGAIN_SECONDS = 2.0
"""So long the workers' ports are believed: asking costs, and a worker that restarts has another one."""
_KILL = "kill -KILL $(cat /proc/1/task/1/children)"  # the first process is Docker's init, and what it started is ours


class ComposeStage:
    """The services without console and monitoring, with two workers, new passwords and new volumes."""

    cast = f"Redpanda, Connect, Postgres, Qdrant, {WORKERS} workers and the API"

    def __init__(self, given: Settings, home: Path, say: Callable[[str], None]) -> None:
        self._given = given
        self._home = home
        self._say = say
        self._password = secrets.token_urlsafe(18)
        self._environment: dict[str, str] = {}
        self._published: dict[str, int] = {}
        self._pages: tuple[str, ...] = ()
        self._looked = 0.0

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Build the image, unless nothing has changed, and start all but capture."""
        self._home.mkdir(parents=True, exist_ok=True)
        self._environment = {
            "POSTGRES_PASSWORD": secrets.token_urlsafe(18),
            "DEBEZIUM_DB_PASSWORD": secrets.token_urlsafe(18),
            "WORKER_DB_PASSWORD": self._password,
            "WORKERS": str(WORKERS),
            "KAFKA_PORT": str(Ports(self._home / "ports.json", usual=False).choose("kafka")),
            **{f"{name.upper()}_PORT": "0" for name in ("postgres", "connect", "qdrant", "api")},
            "WORKER_PORTS": "0",
        }
        await self._remove()
        try:
            self._say(f"starting {', '.join(SERVERS)}")
            await self._compose("up", "--detach", "--wait", *SERVERS)
            self._say("building the image; preparing topics, collection and tokens")
            await self._compose("run", "--build", "--rm", "--no-deps", "prepare", "--without-capture")
            self._say("starting workers and api")
            await self._compose("up", "--detach", "--wait", "--no-deps", "worker", "api")
            for container in await self._containers(*SERVERS):
                (self._published[container["Service"]],) = _published(container)
            yield
        finally:
            await self._remove()

    @property
    def settings(self) -> Settings:
        """By the published ports."""
        given, port = self._given, self._published
        dsn = f"postgresql://lockstep:{self._password}@{HOST}:{port['postgres']}/shop"
        return given.model_copy(
            update={
                "kafka": given.kafka.model_copy(update={"brokers": f"{HOST}:{port['redpanda']}"}),
                "connect": given.connect.model_copy(update={"url": f"http://{HOST}:{port['connect']}"}),
                "postgres": given.postgres.model_copy(update={"dsn": SecretStr(dsn)}),
                "qdrant": given.qdrant.model_copy(update={"url": f"http://{HOST}:{port['qdrant']}"}),
                "home": self._home,
            }
        )

    async def start_capture(self) -> None:
        """Run `prepare` to its end, once more: what is there stays, and the connector is applied."""
        await self._compose("run", "--rm", "--no-deps", "prepare")

    async def pages(self) -> tuple[str, ...]:
        """Each replica's."""
        if time.monotonic() - self._looked > _LOOK_AGAIN_SECONDS:
            ports = [port for container in await self._containers("worker") for port in _published(container)]
            self._pages = tuple(f"http://{HOST}:{port}" for port in ports)
            self._looked = time.monotonic()
        return self._pages

    async def worker(self) -> str:
        """The container of the first replica."""
        return f"{PROJECT}-worker-1"

    async def kill_worker(self) -> None:
        """From within: what `docker kill` ends is not started again."""
        await self._compose("exec", "-T", "--index", "1", "worker", "sh", "-c", _KILL)

    async def _remove(self) -> None:
        await self._compose("down", "--volumes", "--remove-orphans")

    async def _containers(self, *services: str) -> list[dict[str, Any]]:
        answer = await self._compose("ps", "--format", "json", *services)
        return [orjson.loads(line) for line in answer.splitlines()]

    async def _compose(self, *arguments: str) -> bytes:
        """Run `docker compose` to its end; what it printed to stdout.

        Raises:
            StackError: There is no Docker, or it fails.
        """
        try:
            process = await asyncio.create_subprocess_exec(
                *("docker", "compose", "--project-name", PROJECT, *arguments),
                cwd=ROOT,
                env=os.environ | self._environment,
                stdin=DEVNULL,
                stdout=PIPE,
                stderr=PIPE,
                start_new_session=True,  # Ctrl-C is for us, who then stop what it started
            )
        except OSError as error:
            raise StackError("docker cannot be run", hint="install Docker with its compose plugin") from error
        try:
            answer, errors = await process.communicate()
        except asyncio.CancelledError:
            process.terminate()
            await process.wait()
            raise
        if process.returncode:
            words = errors.decode(errors="replace").strip().splitlines() or ["no reason given"]
            raise StackError(
                f"docker compose {arguments[0]} failed: {words[-1]}",
                hint=f"docker compose -p {PROJECT} logs shows more while it runs; is Docker's engine there?",
            )
        return answer


def _published(container: dict[str, Any]) -> list[int]:
    """The port outside of the one that its service is known by; none while it restarts."""
    wanted = PORTS.get(container["Service"])
    ports = container["Publishers"]
    return [each["PublishedPort"] for each in ports if each["TargetPort"] == wanted and each["PublishedPort"]]
