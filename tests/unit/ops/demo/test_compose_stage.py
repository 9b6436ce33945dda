"""The demo on containers, against a `docker` that notes what it is asked for."""

import json
import os
from pathlib import Path

import pytest

from ops.demo.compose_stage import ComposeStage
from ops.settings import Settings
from schemas.errors import StackError

_DOCKER = """\
#!/bin/sh
echo "$*" >> "$CALLS"
case "$*" in
*"$FAIL"*) echo "first line" >&2; echo "container worker-1 is unhealthy" >&2; exit 1 ;;
*" ps --format json worker") cat "$CALLS.workers" ;;
*" ps --format json "*) cat "$CALLS.servers" ;;
esac
"""


def _container(service: str, inside: int, outside: int) -> str:
    publishers = [{"TargetPort": inside, "PublishedPort": outside}, {"TargetPort": 1, "PublishedPort": 0}]
    return json.dumps({"Service": service, "Publishers": publishers})


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    docker = tmp_path / "bin/docker"
    docker.parent.mkdir()
    docker.write_text(_DOCKER)
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", f"{docker.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))
    monkeypatch.setenv("FAIL", "nothing fails")
    servers = {"postgres": (5432, 11), "redpanda": (19092, 12), "connect": (8083, 13), "qdrant": (6333, 14)}
    (tmp_path / "calls.servers").write_text("\n".join(_container(name, *ports) for name, ports in servers.items()))
    (tmp_path / "calls.workers").write_text(f"{_container('worker', 6066, 15)}\n{_container('worker', 6066, 0)}\n")
    return tmp_path / "calls"


@pytest.fixture
def stage(tmp_path: Path) -> ComposeStage:
    return ComposeStage(Settings(_env_file=None), tmp_path / "home", lambda line: None)


def _verbs(calls: Path) -> list[str]:
    return [
        line.removeprefix("compose --project-name lockstep-demo ").split()[0] for line in calls.read_text().splitlines()
    ]


async def test_the_settings_name_the_ports_that_docker_chose(calls: Path, stage: ComposeStage) -> None:
    async with stage.open():
        settings = stage.settings
        assert settings.kafka.brokers == "127.0.0.1:12"
        assert settings.connect.url == "http://127.0.0.1:13"
        assert settings.postgres.dsn.get_secret_value().endswith("@127.0.0.1:11/shop")
        assert settings.qdrant.url == "http://127.0.0.1:14"
        assert await stage.pages() == ("http://127.0.0.1:15",), "one of the two is restarting"
    assert _verbs(calls) == ["down", "up", "run", "up", "ps", "ps", "down"]


async def test_what_was_started_is_removed_when_a_part_fails(
    calls: Path, stage: ComposeStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAIL", "worker api")
    with pytest.raises(StackError, match="docker compose up failed: container worker-1 is unhealthy"):
        async with stage.open():
            pytest.fail("it is not open")
    assert _verbs(calls)[-1] == "down"


async def test_without_docker_it_says_so(stage: ComposeStage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(StackError, match="docker cannot be run"):
        async with stage.open():
            pytest.fail("it is not open")
