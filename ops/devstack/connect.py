"""Kafka Connect with Debezium's Postgres plugin: a cluster of one worker, which keeps its state in the broker."""

import asyncio
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from signal import SIGTERM

from ops.devstack.artifacts import Artifacts
from ops.devstack.home import StackHome
from ops.devstack.java import java_command, java_environment, properties
from ops.devstack.ports import HOST, Ports
from ops.devstack.processes import Launch, StopSignals
from ops.devstack.service import until_answers_ok
from schemas.errors import StackError
from streams.topics import MAX_RECORD_BYTES

USUAL_PORT = 8083
PASSWORD_VARIABLE = "DEBEZIUM_DB_PASSWORD"
"""Named by `connector.json`; Connect takes it from its own environment, so that no REST answer shows it."""
_HEAP_MB = 384


class Connect:
    """One Connect worker. It may be started together with its broker: it waits for it."""

    name = "connect"
    start_seconds = 120.0
    stop_signals: StopSignals = ((SIGTERM, 15.0),)

    def __init__(
        self,
        home: StackHome,
        ports: Ports,
        artifacts: Callable[[], Artifacts],
        *,
        brokers: Callable[[], str],
        replication: int,
        debezium_password: Callable[[], str],
    ) -> None:
        self._directory = home.path / "connect"
        self._properties = self._directory / "worker.properties"
        self._ports = ports
        self._artifacts = artifacts
        self._brokers = brokers
        self._replication = replication
        self._debezium_password = debezium_password
        self.mark = str(self._properties)

    @property
    def address(self) -> str:
        """Its REST."""
        return f"http://{HOST}:{self._ports['connect']}"

    def choose_ports(self) -> None:
        """Its REST's port."""
        self._ports.choose("connect", USUAL_PORT)

    async def prepare_launch(self) -> Launch:
        """Write its configuration and unpack the verified plugin."""
        artifacts = self._artifacts()
        plugins = self._directory / "plugins"
        try:
            self._directory.mkdir(exist_ok=True)
            await asyncio.to_thread(_unpack, artifacts.plugin, plugins)
            self._properties.write_text(properties(self._settings(plugins)), encoding="utf-8")
            return Launch(
                command=java_command(
                    self._directory,
                    heap_mb=_HEAP_MB,
                    main="org.apache.kafka.connect.cli.ConnectDistributed",
                    arguments=[str(self._properties)],
                ),
                environment=java_environment(artifacts) | {PASSWORD_VARIABLE: self._debezium_password()},
                directory=self._directory,
            )
        except OSError as error:
            raise StackError(f"cannot prepare Connect in {self._directory}: {error.strerror}") from error

    async def wait_until_ready(self) -> None:
        """Until its worker has joined its group, which is a moment after its REST answers."""
        await until_answers_ok(f"{self.address}/health")

    def _settings(self, plugins: Path) -> dict[str, object]:
        port = self._ports["connect"]
        return {
            "bootstrap.servers": self._brokers(),
            "group.id": "connect-lockstep",
            "listeners": f"http://{HOST}:{port}",
            "rest.advertised.host.name": HOST,
            "rest.advertised.port": port,
            "plugin.path": plugins,
            "plugin.discovery": "service_load",
            "key.converter": "org.apache.kafka.connect.json.JsonConverter",
            "value.converter": "org.apache.kafka.connect.json.JsonConverter",
            "key.converter.schemas.enable": "false",
            "value.converter.schemas.enable": "false",
            "config.storage.topic": "_connect-configs",
            "offset.storage.topic": "_connect-offsets",
            "status.storage.topic": "_connect-status",
            "config.storage.replication.factor": self._replication,
            "offset.storage.replication.factor": self._replication,
            "status.storage.replication.factor": self._replication,
            "offset.storage.partitions": 1,
            "status.storage.partitions": 1,
            "offset.flush.interval.ms": 1000,
            # Its transaction markers would make gaps in the offsets, and the lag would never reach 0.
            "exactly.once.source.support": "disabled",
            "connector.client.config.override.policy": "All",
            "producer.max.request.size": MAX_RECORD_BYTES,
            "consumer.max.partition.fetch.bytes": MAX_RECORD_BYTES,
            "session.timeout.ms": 6000,
            "heartbeat.interval.ms": 1000,
            "scheduled.rebalance.max.delay.ms": 0,
            "task.shutdown.graceful.timeout.ms": 2000,
            "config.providers": "env",
            "config.providers.env.class": "org.apache.kafka.common.config.provider.EnvVarConfigProvider",
        }


def _unpack(packed: Path, plugins: Path) -> None:
    """Anew at each start: what runs is then what was verified."""
    shutil.rmtree(plugins, ignore_errors=True)
    plugins.mkdir()
    with tarfile.open(packed) as archive:
        # Python before 3.11.4 has no filters; what is unpacked here is known by its hash.
        archive.extraction_filter = getattr(tarfile, "data_filter", lambda member, path: member)
        archive.extractall(plugins)
