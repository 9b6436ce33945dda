"""The stack, started once for all tests that ask for it; its servers are containers where the run asks for them."""

import asyncio
import os
from collections.abc import Iterator

import pytest

from ops.devstack.stack import Stack
from ops.settings import PREFIX, EmbeddingSettings, Settings, WorkerSettings
from tests.containers import choice


def pytest_sessionstart(session: pytest.Session) -> None:
    choice.prepare(session.config.get_terminal_writer().line)


def pytest_report_header() -> str:
    return choice.header()


@pytest.hookimpl(trylast=True)  # of an interrupted run, the fixtures are torn down in this hook, too
def pytest_sessionfinish() -> None:
    choice.clean_up()


@pytest.fixture(scope="session", autouse=True)
def _no_settings_of_the_machine() -> None:
    """Tests build their settings; those of whoever runs them must not matter. A real Qdrant server may be named."""
    for name in list(os.environ):
        if name.startswith(PREFIX) and name != "LOCKSTEP_QDRANT_URL":
            del os.environ[name]


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Broker, Connect with Debezium, Postgres, Qdrant and one worker, on free ports, in a directory of their own."""
    settings = Settings(
        _env_file=None,
        # A short session, so that a killed worker's partitions come free soon.
        worker=WorkerSettings(name="test-worker", session_timeout_seconds=10),
        embedding=EmbeddingSettings(threads=1),
    )
    stack = choice.make_stack(settings, tmp_path_factory.mktemp("stack"), workers=1)
    try:
        asyncio.run(stack.start())
        yield stack
    finally:
        asyncio.run(stack.stop())
        stack.wipe()  # Postgres' data may lie elsewhere: pytest's directories are closed to its user
