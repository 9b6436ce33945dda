"""Starts the Qdrant endpoint as a process of its own, or gives the real server to run its tests against."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from ops.settings import Settings
from tests.containers.choice import USES_CONTAINERS, make_stack

NAMED_SERVER = os.environ.get("LOCKSTEP_QDRANT_URL")
REAL_SERVER = USES_CONTAINERS or NAMED_SERVER is not None
"""Whether a Qdrant server answers, not our endpoint: one that a person names, or a container."""
_START_SECONDS = 20
_STOP_SECONDS = 5


class Endpoint:
    """One endpoint over one data directory, on a port that it keeps over restarts."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Start it and wait until it serves."""
        self._process = launch(self.data, self.port)
        for attempt in Retrying(
            stop=stop_after_delay(_START_SECONDS),
            wait=wait_fixed(0.02),
            retry=retry_if_exception_type(httpx.TransportError),
            reraise=True,
        ):
            with attempt:
                assert self._process.poll() is None, self._process.communicate()[1]
                httpx.get(f"{self.url}/readyz").raise_for_status()

    def stop(self) -> int:
        """End it in good order; its exit code."""
        return self._end(signal.SIGTERM)

    def kill(self) -> int:
        """End it with SIGKILL."""
        return self._end(signal.SIGKILL)

    def _end(self, how: signal.Signals) -> int:
        assert self._process is not None
        process, self._process = self._process, None
        process.send_signal(how)
        process.communicate(timeout=_STOP_SECONDS)
        return process.returncode

    @property
    def runs(self) -> bool:
        """Whether it was started and not ended since."""
        return self._process is not None


def launch(data: Path, port: int) -> subprocess.Popen[str]:
    """The endpoint's process, which may not serve yet."""
    return subprocess.Popen(
        [sys.executable, "-m", "ops.devstack.qdrant_endpoint", "--data", str(data), "--port", str(port)],
        stderr=subprocess.PIPE,
        text=True,
    )


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@contextmanager
def running_endpoint(data: Path) -> Iterator[Endpoint]:
    """An endpoint that serves inside the block and leaves no process behind."""
    endpoint = Endpoint(data)
    endpoint.start()
    try:
        yield endpoint
    finally:
        if endpoint.runs:
            endpoint.stop()


@contextmanager
def qdrant_url(data: Path) -> Iterator[str]:
    """The address to run a contract against: of the server that is named, of a container, or of a fresh endpoint."""
    if NAMED_SERVER:
        yield NAMED_SERVER
    elif USES_CONTAINERS:
        stack = make_stack(Settings(_env_file=None), data, services=("qdrant",))
        try:
            asyncio.run(stack.start_servers())
            yield stack.address("qdrant")
        finally:
            stack.wipe()
    else:
        with running_endpoint(data) as endpoint:
            yield endpoint.url
