"""What the stack makes of the settings, and what it leaves for other commands to read."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import SecretStr

from ops.devstack.home import StackHome
from ops.devstack.ports import Ports
from ops.devstack.stack import SERVICES, Stack
from ops.devstack.stack_env import environment_of, given_services, write_stack_env
from ops.devstack.worker import Worker
from ops.settings import EmbeddingSettings, PostgresSettings, Settings, WorkerSettings, load_settings
from schemas.errors import SettingsError, StackError


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith("LOCKSTEP_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def settings() -> Settings:
    return Settings(
        _env_file=None,
        postgres=PostgresSettings(dsn=SecretStr("postgresql://lockstep:a%20'b$c@127.0.0.1:1/shop")),
        embedding=EmbeddingSettings(threads=1),
        worker=WorkerSettings(name="shop-1", session_timeout_seconds=10),
    )


def _stack(settings: Settings, home: Path, **options: object) -> Stack:
    (home / "ports.json").parent.mkdir(exist_ok=True)
    (home / "ports.json").write_text('{"kafka": 1, "connect": 2, "postgres": 3, "qdrant": 4}')
    return Stack(settings, home, **options)  # type: ignore[arg-type]


def test_what_a_person_set_is_not_started(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert given_services() == frozenset()
    monkeypatch.setenv("LOCKSTEP_QDRANT_URL", "http://elsewhere")
    (tmp_path / ".env").write_text("LOCKSTEP_KAFKA_BROKERS=elsewhere:1\nLOCKSTEP_CONNECT_URL=\n")
    assert given_services() == {"qdrant", "kafka"}


def test_addresses_of_an_earlier_stack_count_as_not_set(tmp_path: Path, settings: Settings) -> None:
    stack = _stack(settings, tmp_path / ".lockstep")
    write_stack_env(stack.settings, stack.home.path, SERVICES)
    assert load_settings().postgres == stack.settings.postgres
    assert load_settings().kafka.brokers == "127.0.0.1:1"
    assert given_services() == frozenset()


def test_the_stacks_addresses_win_over_the_settings_and_given_ones_stay(tmp_path: Path, settings: Settings) -> None:
    resolved = _stack(settings, tmp_path, services=("kafka", "postgres")).settings
    assert resolved.kafka.brokers == "127.0.0.1:1"
    assert resolved.postgres.dsn.get_secret_value().endswith("@127.0.0.1:3/shop")
    assert resolved.qdrant == settings.qdrant
    assert resolved.embedding == settings.embedding


def test_a_program_started_with_the_environment_reads_the_same_settings(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment_of(settings).items():
        monkeypatch.setenv(name, value)
    assert load_settings() == settings


def test_the_pages_of_the_stacks_workers_are_left_for_status(tmp_path: Path, settings: Settings) -> None:
    stack = _stack(settings, tmp_path / ".lockstep", workers=2)
    assert stack.settings.status.workers is None, "no worker has a port yet"
    ports = '{"kafka": 1, "connect": 2, "postgres": 3, "qdrant": 4, "worker-1": 5, "worker-2": 6, "worker-3": 7}'
    stack.home.ports_file.write_text(ports)
    stack = Stack(settings, stack.home.path, workers=2)
    write_stack_env(stack.settings, stack.home.path, SERVICES)
    assert load_settings().status.worker_urls == ("http://127.0.0.1:5", "http://127.0.0.1:6")


def test_only_the_owner_may_read_the_passwords(tmp_path: Path, settings: Settings) -> None:
    home = StackHome(tmp_path)
    assert home.passwords() == StackHome(tmp_path).passwords()
    write_stack_env(settings, tmp_path, SERVICES)
    assert {(tmp_path / name).stat().st_mode & 0o777 for name in ("passwords.json", "stack.env")} == {0o600}


def test_wiping_leaves_what_is_not_the_stacks(tmp_path: Path, settings: Settings) -> None:
    stack = _stack(settings, tmp_path)
    stack.home.make()
    stack.home.passwords()
    (tmp_path / "demo-report.json").write_text("{}")
    stack.wipe()
    assert [path.name for path in tmp_path.iterdir()] == ["demo-report.json"]


def test_a_home_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StackError, match="cannot make") as raised:
        StackHome(tmp_path / "file/home").make()
    assert raised.value.hint == "set LOCKSTEP_HOME"


async def test_ones_own_postgres_needs_the_password_of_debezium(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DEBEZIUM_DB_PASSWORD", raising=False)
    with pytest.raises(SettingsError, match="DEBEZIUM_DB_PASSWORD is not set"):
        await _stack(settings, tmp_path, services=("kafka", "connect", "qdrant")).start_servers()


def test_an_unknown_service_is_one_sentence(tmp_path: Path, settings: Settings) -> None:
    with pytest.raises(StackError, match="no service redis"):
        _stack(settings, tmp_path).is_running("redis")


@pytest.fixture
def worker(tmp_path: Path) -> Callable[[int, Settings], Worker]:
    home = StackHome(tmp_path)
    return lambda number, settings: Worker(number, home, Ports(home.ports_file), lambda: settings)


async def test_each_worker_has_its_own_name_and_port(
    worker: Callable[[int, Settings], Worker], settings: Settings
) -> None:
    launches = []
    for number in (1, 2):
        one = worker(number, settings)
        one.choose_ports()
        launches.append((await one.prepare_launch()).environment)
    assert [launch["LOCKSTEP_WORKER_NAME"] for launch in launches] == ["shop-1", "shop-2"]
    assert launches[0]["LOCKSTEP_WORKER_WEB_PORT"] != launches[1]["LOCKSTEP_WORKER_WEB_PORT"]
    assert launches[0]["LOCKSTEP_WORKER_SESSION_TIMEOUT_SECONDS"] == "10.0"
