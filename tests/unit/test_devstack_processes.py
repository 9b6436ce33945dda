"""Servers of the stack as processes: found again by their own pid, ended by it, and never taken for others."""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from tenacity import retry, retry_if_result, stop_after_delay, wait_fixed

from ops.devstack.processes import Launch, ServerProcess
from schemas.errors import StackError

LISTENS = "import signal; print('ready', flush=True); signal.pause()"
DEAF = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {LISTENS}"
PARENT = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {LISTENS!r}]); {LISTENS}"
FAILS = "import sys; print('opening'); print('FATAL: no data', flush=True); print('goodbye'); sys.exit(3)"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    server = _server(tmp_path)
    yield server
    server.send(signal.SIGKILL)
    _until(lambda: not server.is_running)


def _server(directory: Path) -> ServerProcess:
    return ServerProcess(
        "server",
        pid_file=directory / "server.pid",
        log_file=directory / "server.log",
        mark=lambda: str(directory / "data"),
    )


def _launch(directory: Path, program: str) -> Launch:
    return Launch(command=[sys.executable, "-X", f"mark={directory / 'data'}", "-c", program])


def _until(condition: object) -> None:
    assert callable(condition)
    retrying = retry(retry=retry_if_result(lambda met: not met), wait=wait_fixed(0.01), stop=stop_after_delay(10))
    assert retrying(condition)()


def _says_ready(server: ServerProcess, times: int = 1) -> None:
    _until(lambda: server.log_file.read_text().count("ready") == times)


async def test_a_server_is_found_again_by_another_object(server: ServerProcess, tmp_path: Path) -> None:
    server.start(_launch(tmp_path, LISTENS))
    _says_ready(server)
    other = _server(tmp_path)
    assert other.is_running
    assert other.pid == server.pid
    assert os.getsid(server.pid or 0) == server.pid, "it must not die with our terminal"
    assert await other.stop([(signal.SIGTERM, 5)])
    assert not server.is_running
    assert not await other.stop([(signal.SIGTERM, 5)])


def test_a_pid_that_somebody_else_has_by_now_is_not_ours(server: ServerProcess) -> None:
    server.pid_file.write_text(str(os.getpid()))
    assert not server.is_running
    server.send(signal.SIGKILL)  # and we are still here


@pytest.mark.parametrize("content", ["", "not a pid", "999999999"])
def test_a_pid_file_without_a_process_means_stopped(content: str, server: ServerProcess) -> None:
    server.pid_file.write_text(content)
    assert not server.is_running


async def test_a_server_that_ignores_its_signal_is_killed(server: ServerProcess, tmp_path: Path) -> None:
    server.start(_launch(tmp_path, DEAF))
    _says_ready(server)
    assert await server.stop([(signal.SIGTERM, 0.1)])
    assert not server.is_running
    assert server.how_it_ended() == "killed by SIGKILL"


async def test_children_end_with_their_server(server: ServerProcess, tmp_path: Path) -> None:
    server.start(_launch(tmp_path, PARENT))
    _says_ready(server, times=2)
    (child,) = psutil.Process(server.pid).children()
    assert await server.stop([(signal.SIGTERM, 0.1)])
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


def test_the_last_words_are_the_last_that_tell_of_trouble_since_the_start(
    server: ServerProcess, tmp_path: Path
) -> None:
    server.log_file.write_text("ERROR of an earlier run\n")
    assert not server.is_running
    server.start(_launch(tmp_path, FAILS))
    _until(lambda: not server.is_running and "goodbye" in server.log_file.read_text())
    assert server.how_it_ended() == "exit code 3: FATAL: no data"


def test_a_program_that_is_missing_shows_in_the_log(server: ServerProcess, tmp_path: Path) -> None:
    server.start(Launch(command=[str(tmp_path / "nowhere")]))
    _until(lambda: not server.is_running and "not found" in server.last_words())


def test_a_log_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    server = _server(tmp_path / "missing")
    with pytest.raises(StackError, match="cannot start server: No such file or directory"):
        server.start(_launch(tmp_path, LISTENS))
