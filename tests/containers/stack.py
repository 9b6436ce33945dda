"""The stack with its four servers in containers; its workers are processes, as without Docker."""

import hashlib
from collections.abc import Collection
from pathlib import Path
from typing import Any

from ops.devstack.home import StackHome
from ops.devstack.service import Server, Service
from ops.devstack.stack import SERVICES, Stack
from ops.settings import Settings
from tests.containers.container import ContainerProcess
from tests.containers.engine import make_network, remove_network
from tests.containers.services import (
    INNER_BROKERS,
    INNER_POSTGRES,
    ConnectContainer,
    PostgresContainer,
    QdrantContainer,
    RedpandaContainer,
)


class ContainerServer(Server):
    """A service and its container."""

    def __init__(self, service: Service, home: StackHome, network: str) -> None:
        self.service = service
        self.process = ContainerProcess(
            service.name,
            container_name=f"{network}-{service.name}",
            network=network,
            log_file=home.logs / f"{service.name}.log",
        )


class ContainerStack(Stack):
    """A stack of one directory, whose servers find one another in a network of their own.

    Another object for the same directory finds them again, as `Stack` does.
    """

    def __init__(self, settings: Settings, home: Path, *, services: Collection[str] = SERVICES, **options: Any) -> None:
        super().__init__(settings, home, services=services, **options)
        self._network = f"lockstep-test-{hashlib.sha256(str(self.home.path).encode()).hexdigest()[:12]}"
        self._kafka = RedpandaContainer(self._ports)
        self._connect = ConnectContainer(self._ports, debezium_password=self._debezium_password)
        self._postgres = PostgresContainer(self.home, self._ports)
        self._qdrant = QdrantContainer(self.home, self._ports)
        for service in (self._kafka, self._connect, self._postgres, self._qdrant):
            self._servers[service.name] = ContainerServer(service, self.home, self._network)

    @property
    def settings(self) -> Settings:
        """With the addresses that Connect needs, which are others than ours."""
        settings = super().settings
        if "connect" not in self._services:
            return settings
        host, port = INNER_POSTGRES
        inner = {"postgres_host": host, "postgres_port": port, "kafka_brokers": INNER_BROKERS}
        return settings.model_copy(update={"connect": settings.connect.model_copy(update=inner)})

    async def start_servers(self) -> tuple[str, ...]:
        """In their network."""
        make_network(self._network)
        return await super().start_servers()

    def wipe(self) -> None:
        """Remove the containers with their data, too."""
        for name in SERVICES:
            self._servers[name].process.remove()
        remove_network(self._network)
        super().wipe()

    async def _start_one(self, server: Server) -> None:
        if server.service is self._connect:
            # It gives its broker a minute. Compose, too, starts it when the broker is healthy.
            await self._kafka.wait_until_ready()
        await super()._start_one(server)

    async def _fetch(self) -> None:
        """Nothing: all that a server needs is in its image."""
