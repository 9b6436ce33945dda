"""The broker: Apache Kafka in KRaft mode, one node, broker and controller in one."""

import asyncio
import base64
import secrets
import subprocess
from collections.abc import Callable
from signal import SIGTERM

from connectors.kafka import KafkaAdmin
from ops.devstack.artifacts import Artifacts
from ops.devstack.home import StackHome
from ops.devstack.java import java_command, java_environment, properties
from ops.devstack.ports import HOST, Ports
from ops.devstack.processes import Launch, StopSignals
from ops.devstack.service import until_listening
from schemas.errors import StackError
from streams.topics import MAX_RECORD_BYTES

USUAL_PORT = 9092
_HEAP_MB = 256
_FORMAT_SECONDS = 60


class Kafka:
    """One broker without passwords, on the loopback interface only."""

    name = "kafka"
    start_seconds = 90.0
    stop_signals: StopSignals = ((SIGTERM, 20.0),)

    def __init__(self, home: StackHome, ports: Ports, artifacts: Callable[[], Artifacts]) -> None:
        self._directory = home.path / "kafka"
        self._properties = self._directory / "server.properties"
        self._ports = ports
        self._artifacts = artifacts
        self.mark = str(self._properties)

    @property
    def address(self) -> str:
        """Host and port of its clients."""
        return f"{HOST}:{self._ports['kafka']}"

    def choose_ports(self) -> None:
        """Its clients' port and its controller's."""
        self._ports.choose("kafka", USUAL_PORT)
        self._ports.choose("controller")

    async def prepare_launch(self) -> Launch:
        """Write its configuration; at the first start, format its storage."""
        try:
            self._directory.mkdir(exist_ok=True)
            self._properties.write_text(properties(self._settings()), encoding="utf-8")
            if not (self._directory / "data/meta.properties").exists():
                await asyncio.to_thread(self._format)
            return self._launch("kafka.Kafka", str(self._properties))
        except OSError as error:
            raise StackError(f"cannot prepare the broker in {self._directory}: {error.strerror}") from error

    async def wait_until_ready(self) -> None:
        """Until it answers and finds a group's coordinator: a worker that came earlier would log errors."""
        await until_listening(self._ports["kafka"])
        async with KafkaAdmin(self.address) as admin:
            await admin.wait_until_ready(self.start_seconds)

    def _launch(self, main: str, *arguments: str) -> Launch:
        return Launch(
            command=java_command(self._directory, heap_mb=_HEAP_MB, main=main, arguments=arguments),
            environment=java_environment(self._artifacts()),
            directory=self._directory,
        )

    def _format(self) -> None:
        cluster_id = base64.urlsafe_b64encode(secrets.token_bytes(16)).decode().rstrip("=")
        # A formatting that was interrupted leaves some of its files.
        # With `=`, because one in 64 ids begins with a dash.
        options = ("format", f"--cluster-id={cluster_id}", "-c", str(self._properties), "--ignore-formatted")
        launch = self._launch("kafka.tools.StorageTool", *options)
        try:
            done = subprocess.run(
                launch.command,
                env=launch.environment,
                cwd=launch.directory,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=_FORMAT_SECONDS,
            )
        except subprocess.TimeoutExpired as error:
            raise StackError(f"formatting the broker's storage took longer than {_FORMAT_SECONDS} s") from error
        if done.returncode:
            words = (done.stderr or done.stdout).strip().splitlines() or ["no reason given"]
            raise StackError(f"cannot format the broker's storage in {self._directory}: {words[-1]}")

    def _settings(self) -> dict[str, object]:
        port, controller = self._ports["kafka"], self._ports["controller"]
        return {
            "process.roles": "broker,controller",
            "node.id": 1,
            "controller.quorum.voters": f"1@{HOST}:{controller}",
            "listeners": f"PLAINTEXT://{HOST}:{port},CONTROLLER://{HOST}:{controller}",
            "advertised.listeners": f"PLAINTEXT://{HOST}:{port}",
            "controller.listener.names": "CONTROLLER",
            "log.dirs": self._directory / "data",
            "num.partitions": 1,
            "default.replication.factor": 1,
            "min.insync.replicas": 1,
            "offsets.topic.replication.factor": 1,
            "offsets.topic.num.partitions": 1,
            "transaction.state.log.replication.factor": 1,
            "transaction.state.log.min.isr": 1,
            "transaction.state.log.num.partitions": 1,
            "share.coordinator.state.topic.replication.factor": 1,
            "share.coordinator.state.topic.min.isr": 1,
            "share.coordinator.state.topic.num.partitions": 1,
            "group.initial.rebalance.delay.ms": 0,
            # Tests want a dead worker to be noticed soon; the default refuses session time-outs below 6 s.
            "group.min.session.timeout.ms": 1000,
            "auto.create.topics.enable": "false",
            "message.max.bytes": MAX_RECORD_BYTES,
            "log.cleaner.dedupe.buffer.size": 16777216,
            "log.retention.check.interval.ms": 300000,
            "num.network.threads": 2,
            "num.io.threads": 2,
            "background.threads": 2,
            # After a SIGKILL the broker waits for its own old registration to expire: 9 s by default.
            "broker.session.timeout.ms": 3000,
            "broker.heartbeat.interval.ms": 500,
        }
