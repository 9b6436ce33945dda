"""The keeper: starts, restarts workers, stops all at a signal; there is one, and a dead one blocks nobody."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import cast

import psutil
import pytest
from typer.testing import CliRunner

from ops.cli import app
from ops.devstack import keeper
from ops.devstack.home import StackHome
from ops.devstack.keeper import KeeperFiles, dismiss, keep
from ops.devstack.stack import Stack
from schemas.errors import StackError


class FakeStack:
    """One server and one worker that run when they are told to."""

    def __init__(self, home: Path) -> None:
        self.home = StackHome(home)
        self.names = ("kafka", "worker-1")
        self.up: set[str] = set()
        self.restarts: list[str] = []
        self.error: StackError | None = None
        self.slow = False
        self.code = 70

    async def start(self) -> tuple[str, ...]:
        self.up = {"kafka"}
        if self.slow:
            await asyncio.Event().wait()
        if self.error:
            raise self.error
        self.up = set(self.names)
        return self.names

    async def stop(self) -> tuple[str, ...]:
        self.up = set()
        return self.names

    async def restart(self, name: str) -> None:
        self.restarts.append(name)
        self.up.add(name)

    def is_running(self, name: str) -> bool:
        return name in self.up

    def exit_code(self, name: str) -> int | None:
        return self.code

    def log_file(self, name: str) -> Path:
        return self.home.logs / f"{name}.log"

    def how_it_ended(self, name: str) -> str:
        return "exit code 70: unknown error"


@pytest.fixture
def stack(tmp_path: Path) -> FakeStack:
    return FakeStack(tmp_path)


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper, "_LOOK_SECONDS", 0.01)
    monkeypatch.setattr(keeper, "_FIRST_WAIT_SECONDS", 0.01)


def _keep(stack: FakeStack, said: list[str], on_ready: Callable[[tuple[str, ...]], None]) -> "asyncio.Task[bool]":
    return asyncio.create_task(keep(cast(Stack, stack), say=said.append, on_ready=on_ready))


async def _until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_a_signal_stops_everything(number: signal.Signals, stack: FakeStack, said: list[str]) -> None:
    started: list[str] = []
    keeping = _keep(stack, said, started.extend)
    files = KeeperFiles(stack.home)
    await _until(lambda: files.is_ready(os.getpid()))
    assert started == ["kafka", "worker-1"]
    assert files.pid() == os.getpid()
    os.kill(os.getpid(), number)
    assert await keeping
    assert stack.up == set()
    assert files.pid() is None
    assert not files.is_ready(os.getpid())


async def test_a_signal_while_it_starts_stops_what_was_started(stack: FakeStack, said: list[str]) -> None:
    stack.slow = True
    keeping = _keep(stack, said, lambda started: pytest.fail("it was never ready"))
    await _until(lambda: stack.up)
    os.kill(os.getpid(), signal.SIGTERM)
    assert not await keeping
    assert stack.up == set()


async def test_a_failed_start_stops_what_was_started_and_says_why(stack: FakeStack, said: list[str]) -> None:
    stack.error = StackError("kafka ended while it started: no data")
    with pytest.raises(StackError, match="no data"):
        await _keep(stack, said, lambda started: None)
    assert stack.up == set()
    assert KeeperFiles(stack.home).pid() is None


async def test_a_worker_that_ends_is_started_again_after_longer_and_longer_waits(
    stack: FakeStack, said: list[str]
) -> None:
    keeping = _keep(stack, said, lambda started: None)
    await _until(lambda: stack.up == {"kafka", "worker-1"})
    for count in (1, 2, 3):
        stack.up.discard("worker-1")
        await _until(lambda count=count: said.count("worker-1 is ready again") == count)
    stack.up.discard("kafka")
    await _until(lambda: any(line.startswith("kafka ended") for line in said))
    os.kill(os.getpid(), signal.SIGTERM)
    await keeping
    assert stack.restarts == ["worker-1"] * 3, "a server is left to a person"
    waits = [line for line in said if line.startswith("worker-1 ended")]
    assert [line.rpartition(" in ")[2] for line in waits] == ["0.01 s", "0.02 s", "0.04 s"]
    assert "exit code 70: unknown error" in waits[0]


@pytest.mark.parametrize(("code", "starts"), [(2, 0), (70, 5)], ids=["wrong setting", "crash loop"])
async def test_a_worker_that_cannot_run_is_given_up_loudly(
    code: int, starts: int, stack: FakeStack, said: list[str]
) -> None:
    stack.code = code
    keeping = _keep(stack, said, lambda started: None)
    await _until(lambda: stack.up == {"kafka", "worker-1"})
    for count in range(starts):
        stack.up.discard("worker-1")
        await _until(lambda count=count: said.count("worker-1 is ready again") == count + 1)
    stack.up.discard("worker-1")
    await _until(lambda: any("GIVEN UP: worker-1 is not started again: exit code 70" in line for line in said))
    assert "kafka" in stack.up
    os.kill(os.getpid(), signal.SIGTERM)
    assert await keeping
    assert len(stack.restarts) == starts


@pytest.mark.parametrize("code", [0, 3, -9], ids=["stopped", "broker away", "killed"])
async def test_a_worker_that_was_ended_from_outside_is_never_given_up(
    code: int, stack: FakeStack, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper, "_LONGEST_WAIT_SECONDS", 0.01)
    stack.code = code
    keeping = _keep(stack, said, lambda started: None)
    await _until(lambda: stack.up == {"kafka", "worker-1"})
    for count in range(8):
        stack.up.discard("worker-1")
        await _until(lambda count=count: said.count("worker-1 is ready again") == count + 1)
    os.kill(os.getpid(), signal.SIGTERM)
    assert await keeping


async def test_there_is_one_keeper(stack: FakeStack, said: list[str]) -> None:
    stack.home.make()
    with KeeperFiles(stack.home).held(), pytest.raises(StackError, match="kept already"):
        await keep(cast(Stack, stack), say=said.append, on_ready=lambda started: None)


@pytest.mark.parametrize("pid", [str(os.getpid()), "999999999", ""], ids=["reused", "dead", "unwritten"])
async def test_the_files_of_a_dead_keeper_block_nobody(pid: str, stack: FakeStack, said: list[str]) -> None:
    stack.home.make()
    files = KeeperFiles(stack.home)
    files.lock.touch()
    files.pid_file.write_text(pid)
    files.ready.write_text(pid)
    assert files.pid() is None
    assert not await dismiss(stack.home)
    keeping = _keep(stack, said, lambda started: None)
    await _until(lambda: files.pid() and files.is_ready(os.getpid()))
    os.kill(os.getpid(), signal.SIGTERM)
    assert await keeping


def test_a_missing_extra_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LOCKSTEP_HOME", str(tmp_path))
    monkeypatch.setitem(sys.modules, "ops.devstack.keeper", None)
    result = CliRunner().invoke(app, ["up"])
    assert isinstance(result.exception, StackError)
    assert result.exception.hint == "pip install 'lockstep[stack]'"


def test_logs_of_nothing_and_of_an_unknown_service_are_one_sentence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LOCKSTEP_HOME", str(tmp_path))
    result = CliRunner().invoke(app, ["logs"])
    assert "there are no logs" in str(result.exception)
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs/kafka.log").touch()
    result = CliRunner().invoke(app, ["logs", "redis"])
    assert result.exit_code == 2
    assert "there is no log of redis" in " ".join(result.output.split())


def test_down_with_nothing_running_is_no_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LOCKSTEP_HOME", str(tmp_path))
    result = CliRunner().invoke(app, ["down", "--wipe"])
    assert result.exit_code == 0, result.exception
    assert "nothing was running" in result.output


def test_a_keeper_that_cannot_be_looked_at_is_no_keeper_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that is ending closes its files to its own user, and a stale pid may be another user's by now."""
    home = StackHome(tmp_path)
    home.make()
    files = KeeperFiles(home)
    files.pid_file.write_text(str(os.getpid()))

    def refused(process: psutil.Process) -> list[str]:
        raise psutil.AccessDenied(process.pid)

    monkeypatch.setattr(psutil.Process, "open_files", refused)
    assert files.pid() is None
