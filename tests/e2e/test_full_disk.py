"""The broker's disk fills up while changes flow: the broker ends, the worker waits, nothing is lost."""

import secrets
import signal
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import psutil
import pytest

from ops.catch_up import Pipeline
from ops.devstack.stack import Stack
from ops.settings import EmbeddingSettings, Settings, WorkerSettings
from ops.stores import open_rows, open_store
from tests.containers.choice import not_in_containers
from tests.e2e.conftest import Running

pytestmark = [
    pytest.mark.stack,
    not_in_containers("a process is given no room on its disk, and a container's is the engine's"),
]

ROOM_BYTES = 500_000
"""What is left on the disk: a handful of changes of the big row."""


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Running]:
    """A pipeline of its own: its broker comes to harm."""
    settings = Settings(
        _env_file=None,
        worker=WorkerSettings(name="test-worker", session_timeout_seconds=10),
        embedding=EmbeddingSettings(threads=1),
    )
    stack = Stack(settings, tmp_path, workers=1, usual_ports=False)
    try:
        async with (
            stack,
            open_rows(stack.settings) as rows,
            open_store(stack.settings) as store,
            Pipeline.open(stack.settings) as pipeline,
        ):
            yield Running(stack=stack, rows=rows, store=store, pipeline=pipeline, prefix="disk")
    finally:
        stack.wipe()


def fill_disk(stack: Stack) -> None:
    """Let no file of the broker grow by more than the room that is left: its writes fail as on a full disk."""
    biggest = max(file.stat().st_size for file in stack.home.path.glob("kafka/data/*/*.log"))
    broker = psutil.Process(stack.pid("kafka"))
    _, most = broker.rlimit(psutil.RLIMIT_FSIZE)
    broker.rlimit(psutil.RLIMIT_FSIZE, (biggest + ROOM_BYTES, most))


async def trouble(running: Running) -> str:
    """Why the worker says that it is not ready; empty when it is."""
    page = await running.worker("/health/ready")
    assert page is not None
    return page["reason"] or ""


async def test_promise_1_full_disk_under_the_broker_loses_nothing(running: Running) -> None:
    stack = running.stack
    big = await running.insert("big", description=secrets.token_hex(50_000))
    small = await running.insert("small")

    async def both_are_done() -> dict[str, Any] | None:
        page = await running.worker()
        return page if page and page["records"] == 2 else None

    before = await running.until(both_are_done)

    # The worker has a change in hand, whose effect it can write only when the broker is gone.
    await stack.kill("qdrant", signal.SIGKILL)
    await running.sql("UPDATE products SET price = 1 WHERE article_id = $1", small)

    async def held() -> bool:
        return "held" in await trouble(running)

    await running.until(held)

    fill_disk(stack)
    price = 0

    async def broker_has_ended() -> bool:
        nonlocal price
        price += 1
        await running.sql("UPDATE products SET price = $2 WHERE article_id = $1", big, Decimal(price))
        return not stack.is_running("kafka")

    await running.until(broker_has_ended)
    assert stack.exit_code("kafka") == 1
    assert "File too large" in stack.log_file("kafka").read_text()
    late = await running.insert("late")

    await stack.restart("qdrant")
    await running.until_payload(small, price_text="1.00")

    async def waits_for_the_broker() -> bool:
        return "the broker has confirmed nothing" in await trouble(running)

    await running.until(waits_for_the_broker)
    waiting = await running.worker()
    assert waiting is not None
    assert waiting["records"] == 2

    await stack.restart("kafka")
    await running.until_payload(late)
    await running.until_payload(big, price_text=f"{price}.00")
    report = await running.reconcile()
    assert report.in_sync, report
    assert report.rows == report.points == 3
    assert running.dead_letters() == {}
    after = await running.worker()
    assert after is not None
    assert after["pid"] == before["pid"]
    assert await trouble(running) == ""
