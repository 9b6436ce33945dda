"""The stack in containers, as far as it goes without an engine: the choice, and how each container is made."""

import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from ops.commands.connector import config_from
from ops.devstack.stack import SERVICES, Stack
from ops.settings import Settings
from tests.containers import choice
from tests.containers.container import ContainerLaunch
from tests.containers.images import COMPOSE_FILE, COMPOSE_NAMES
from tests.containers.stack import ContainerStack


@pytest.fixture
def stack(tmp_path: Path) -> ContainerStack:
    """One whose ports are chosen, and of which nothing runs."""
    stack = ContainerStack(Settings(_env_file=None), tmp_path, usual_ports=False)
    stack.home.make()
    for name in SERVICES:
        stack._server(name).service.choose_ports()
    return stack


async def launch(stack: ContainerStack, name: str) -> ContainerLaunch:
    return await stack._server(name).service.prepare_launch()


def test_a_run_that_asks_for_nothing_says_that_it_uses_no_docker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "USES_CONTAINERS", False)
    assert choice.header() == "stack: without Docker; LOCKSTEP_TEST_STACK=containers uses containers"
    assert choice.stack_class() is Stack


def test_containers_that_are_asked_for_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "USES_CONTAINERS", True)
    assert choice.stack_class() is ContainerStack


def test_another_value_of_the_variable_ends_the_run_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "ASKED_FOR", "docker")
    with pytest.raises(pytest.UsageError, match="LOCKSTEP_TEST_STACK is 'docker': set it to 'containers', or leave it"):
        choice.prepare(print)


def test_containers_without_an_engine_end_the_run_at_once(tmp_path: Path) -> None:
    environment = os.environ | {choice.VARIABLE: choice.CONTAINERS, "DOCKER_HOST": f"unix://{tmp_path}/docker.sock"}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", __file__],
        env=environment,
        cwd=COMPOSE_FILE.parent,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "LOCKSTEP_TEST_STACK=containers, but no Docker engine answers:" in done.stderr
    assert "collected" not in done.stdout


async def test_every_container_is_made_from_what_compose_says(stack: ContainerStack) -> None:
    compose = COMPOSE_FILE.read_text(encoding="utf-8")
    for name in SERVICES:
        made = await launch(stack, name)
        assert f"image: {made.image}\n" in compose
        assert made.alias == COMPOSE_NAMES[name]
        assert urlsplit(f"//{stack.address(name).rpartition('//')[2]}").port == made.host_port
        left_open = [text for text in (*made.command, *made.environment.values()) if "$" in text]
        assert left_open == [], f"{name} has what only compose fills in"


async def test_the_broker_names_the_address_at_which_we_reach_it(stack: ContainerStack) -> None:
    made = await launch(stack, "kafka")
    assert f"--advertise-kafka-addr=internal://redpanda:9092,external://{stack.address('kafka')}" in made.command
    assert f"--kafka-addr=internal://0.0.0.0:9092,external://0.0.0.0:{made.port}" in made.command
    [content] = made.files.values()
    assert "auto_create_topics_enabled: false" in content.read_text()


async def test_connect_and_the_connector_meet_postgres_and_broker_in_their_own_network(stack: ContainerStack) -> None:
    made = await launch(stack, "connect")
    assert made.environment["BOOTSTRAP_SERVERS"] == "redpanda:9092"
    assert made.environment["DEBEZIUM_DB_PASSWORD"] == stack.home.passwords().debezium
    config = config_from(stack.settings)
    assert (config["database.hostname"], config["database.port"]) == ("postgres", "5432")
    assert config["signal.kafka.bootstrap.servers"] == "redpanda:9092"
    assert stack.settings.kafka.brokers == stack.address("kafka")


async def test_postgres_gets_the_stacks_password_and_no_scripts(stack: ContainerStack) -> None:
    made = await launch(stack, "postgres")
    assert made.environment["POSTGRES_PASSWORD"] == stack.home.passwords().postgres
    assert made.files == {}
    assert "-cwal_level=logical" in made.command


def test_two_objects_of_one_directory_mean_the_same_containers(stack: ContainerStack, tmp_path: Path) -> None:
    again = ContainerStack(Settings(_env_file=None), stack.home.path, usual_ports=False)
    other = ContainerStack(Settings(_env_file=None), tmp_path / "other", usual_ports=False)
    names = [one._server("kafka").process.container_name for one in (stack, again, other)]
    assert names[0] == names[1] != names[2]
