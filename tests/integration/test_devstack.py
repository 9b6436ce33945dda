"""The stack without Docker, for real: what it survives, what it leaves alone, what it weighs."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import psutil
import pytest
from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition

from ops.devstack.home import StackHome
from ops.devstack.keeper import KeeperFiles
from ops.devstack.stack import SERVICES, Stack
from ops.devstack.stack_env import environment_of
from ops.settings import Settings, WorkerSettings, stack_env_file
from streams.topics import MAX_RECORD_BYTES, PRODUCT_CHANGES
from tests.containers.choice import not_in_containers

pytestmark = [pytest.mark.stack, not_in_containers("these tests are of the stack without Docker itself")]

MAX_MEMORY_BYTES = 1_200_000_000


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack whose servers these tests may kill."""
    stack = Stack(Settings(_env_file=None), tmp_path_factory.mktemp("stack"), usual_ports=False)
    try:
        asyncio.run(stack.start())
        yield stack
    finally:
        asyncio.run(stack.stop())
        stack.wipe()


def _again(stack: Stack) -> Stack:
    """What another program sees of it."""
    return Stack(Settings(_env_file=None), stack.home.path, usual_ports=False)


async def test_a_second_start_starts_nothing(own: Stack) -> None:
    other = _again(own)
    assert await other.start() == ()
    assert other.running() == SERVICES
    assert other.settings == own.settings


def test_the_servers_together_stay_below_1_2_gb(own: Stack) -> None:
    processes = [psutil.Process(own.pid(name)) for name in SERVICES]
    processes += [child for process in processes for child in process.children(recursive=True)]
    assert sum(process.memory_info().rss for process in processes) < MAX_MEMORY_BYTES


def test_everything_listens_on_the_loopback_interface_only(own: Stack) -> None:
    for name in SERVICES:
        listening = [
            connection.laddr.ip.removeprefix("::ffff:")
            for connection in psutil.Process(own.pid(name)).net_connections()
            if connection.status == psutil.CONN_LISTEN
        ]
        assert set(listening) == {"127.0.0.1"}, name


@pytest.mark.parametrize("name", SERVICES)
async def test_a_killed_server_comes_back_at_its_address_with_its_data(name: str, own: Stack) -> None:
    dsn = own.admin_dsn
    assert dsn is not None
    connection = await asyncpg.connect(dsn)
    await connection.execute(f"CREATE TABLE kept_{name} (id int)")
    address = own.address(name)
    await own.kill(name)
    assert not own.is_running(name)
    connection.terminate()
    await own.restart(name)
    assert own.address(name) == address
    connection = await asyncpg.connect(dsn)
    try:
        assert await connection.fetchval(f"SELECT count(*) FROM kept_{name}") == 0
    finally:
        await connection.close()
    assert await own.start() == ()


def test_a_record_of_nearly_eight_mebibytes_passes_the_broker(own: Stack) -> None:
    value = os.urandom(MAX_RECORD_BYTES - 1024)
    brokers = own.settings.kafka.brokers
    producer = Producer({"bootstrap.servers": brokers, "message.max.bytes": MAX_RECORD_BYTES})
    refused: list[KafkaError] = []
    producer.produce(
        PRODUCT_CHANGES, value, b"key", partition=0, on_delivery=lambda error, record: error and refused.append(error)
    )
    assert producer.flush(30) == 0
    assert refused == []
    consumer = Consumer({"bootstrap.servers": brokers, "group.id": "test", "auto.offset.reset": "earliest"})
    try:
        consumer.assign([TopicPartition(PRODUCT_CHANGES, 0, 0)])
        record = consumer.poll(30)
        assert record is not None
        assert record.value() == value
    finally:
        consumer.close()


async def test_stopping_ends_nothing_of_another_stack(own: Stack, tmp_path: Path) -> None:
    other = Stack(Settings(_env_file=None), tmp_path / "other", services=("postgres",), usual_ports=False)
    try:
        assert await other.start_servers() == ("postgres",)
        assert other.address("postgres") != own.address("postgres")
        assert await other.stop() == ("postgres",)
    finally:
        await other.stop()
        other.wipe()
    assert own.running() == SERVICES


async def test_a_stale_lock_file_of_postgres_is_no_obstacle(own: Stack, tmp_path: Path) -> None:
    stack = Stack(Settings(_env_file=None), tmp_path / "stack", services=("postgres",), usual_ports=False)
    try:
        await stack.start_servers()
        connection = await asyncpg.connect(stack.admin_dsn)
        lock = Path(await connection.fetchval("SHOW data_directory")) / "postmaster.pid"
        await connection.close()
        content = lock.read_text()
        await stack.stop()
        # The pid is by now that of another program of the same user.
        lock.write_text(content.replace(content.split("\n")[0], str(own.pid("postgres")), 1))
        assert await stack.start_servers() == ("postgres",)
    finally:
        await stack.stop()
        stack.wipe()


def test_the_commands_keep_a_worker_on_given_servers_and_a_killed_keeper_is_no_obstacle(
    own: Stack, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    given = own.settings.model_copy(update={"home": home, "worker": WorkerSettings(name="kept-1")})
    environment = environment_of(given)
    del environment["LOCKSTEP_WORKER_WEB_PORT"]  # which would insist on it

    def lockstep(*arguments: str) -> str:
        command = [sys.executable, "-m", "ops.cli", *arguments]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def state_of(name: str, output: str) -> str:
        (line,) = (line for line in output.splitlines() if line.startswith(name))
        return line.split(maxsplit=2)[2].strip()

    stack = Stack(given, home, services=())
    files = KeeperFiles(StackHome(home))
    try:
        output = lockstep("up", "--detach")
        assert state_of("worker-1", output) == "started"
        assert state_of("kafka", output) == "your own"
        keeper = files.pid()
        assert keeper is not None
        assert state_of("worker-1", lockstep("up", "--detach")) == "already running"
        assert files.pid() == keeper
        os.kill(keeper, signal.SIGKILL)
        worker = int((home / "run/worker-1.pid").read_text())
        assert state_of("worker-1", lockstep("up", "--detach")) == "already running"
        assert files.pid() not in (None, keeper)
        assert int((home / "run/worker-1.pid").read_text()) == worker
        assert "worker-1 is ready" in lockstep("logs", "up")
        assert lockstep("down") == "stopped worker-1\n"
        assert files.pid() is None
        assert not stack_env_file(home).exists()
    finally:
        lockstep("down")
    assert stack.running() == ()
    assert own.running() == SERVICES
