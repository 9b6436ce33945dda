"""The stack's four services as images: each is what it is without Docker, but for its launch."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

import asyncpg

from ops.devstack.connect import PASSWORD_VARIABLE, Connect
from ops.devstack.kafka import Kafka
from ops.devstack.ports import Ports
from ops.devstack.postgres import SUPERUSER, Postgres
from ops.devstack.qdrant import Qdrant
from tests.containers.container import ContainerLaunch
from tests.containers.images import COMPOSE_NAMES, compose_service

INNER_BROKERS = "redpanda:9092"
INNER_POSTGRES = ("postgres", 5432)
_ADVERTISE = "--advertise-kafka-addr="
_POLL_SECONDS = 0.1
_START_SECONDS = 180.0
"""An image's first start makes its data, and may share its cores with three others'."""


class RedpandaContainer(Kafka):
    """One broker with two listeners: for the containers under its name, for us on the loopback interface."""

    start_seconds = _START_SECONDS

    def __init__(self, ports: Ports) -> None:
        self._ports = ports

    def choose_ports(self) -> None:
        self._ports.choose("kafka")

    async def prepare_launch(self) -> ContainerLaunch:
        launch = _launch("kafka", 19092, self._ports)
        # Clients go on at the address that the broker tells them, so it must know its port on our side.
        advertised = f"{_ADVERTISE}internal://{INNER_BROKERS},external://{self.address}"
        command = [advertised if part.startswith(_ADVERTISE) else part for part in launch.command]
        return replace(launch, command=command)


class ConnectContainer(Connect):
    """Connect, as Debezium's image has it."""

    start_seconds = _START_SECONDS

    def __init__(self, ports: Ports, *, debezium_password: Callable[[], str]) -> None:
        self._ports = ports
        self._debezium_password = debezium_password

    async def prepare_launch(self) -> ContainerLaunch:
        launch = _launch("connect", 8083, self._ports)
        return replace(launch, environment={**launch.environment, PASSWORD_VARIABLE: self._debezium_password()})


class PostgresContainer(Postgres):
    """The official image."""

    start_seconds = _START_SECONDS

    async def prepare_launch(self) -> ContainerLaunch:
        launch = _launch("postgres", 5432, self._ports)
        password = self._home.passwords().postgres
        # Without compose's scripts: `Stack.prepare` makes tables and roles, as it does without Docker.
        return replace(launch, files={}, environment={**launch.environment, "POSTGRES_PASSWORD": password})

    async def wait_until_ready(self) -> None:
        """Until it lets its superuser in."""
        dsn = self.dsn(SUPERUSER, self._home.passwords().postgres, SUPERUSER)
        while True:
            try:
                connection = await asyncpg.connect(dsn, timeout=5.0)
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                await asyncio.sleep(_POLL_SECONDS)
            else:
                await connection.close()
                return


class QdrantContainer(Qdrant):
    """A Qdrant server."""

    start_seconds = _START_SECONDS

    async def prepare_launch(self) -> ContainerLaunch:
        return _launch("qdrant", 6333, self._ports)


def _launch(name: str, port: int, ports: Ports) -> ContainerLaunch:
    """What compose says, on a port of this stack."""
    of_compose = compose_service(name)
    return ContainerLaunch(
        image=of_compose.image,
        command=of_compose.command,
        environment=of_compose.environment,
        files=of_compose.files,
        port=port,
        host_port=ports[name],
        alias=COMPOSE_NAMES[name],
    )
