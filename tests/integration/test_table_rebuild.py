"""A changelog that cannot be read is built again from the source topic, on the real broker, and nothing is embedded."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from confluent_kafka import Producer

from ops.catch_up import Pipeline
from ops.devstack.stack import Stack
from ops.reconcile import reconcile
from ops.settings import EmbeddingSettings, Settings, WorkerSettings
from ops.stores import open_rows, open_store
from ops.table_rebuild import rebuild_table
from schemas.errors import BrokerError, StackError
from streams.topics import CHANGELOG
from tests.containers.choice import make_stack

pytestmark = pytest.mark.stack

WORKER = "worker-1"


@pytest.fixture
async def stack(tmp_path: Path) -> AsyncIterator[Stack]:
    """A stack of this module alone: its table is broken on purpose."""
    settings = Settings(
        _env_file=None,
        worker=WorkerSettings(name="test-rebuild", session_timeout_seconds=6),
        embedding=EmbeddingSettings(threads=1),
    )
    stack = make_stack(settings, tmp_path, workers=1)
    try:
        await stack.start()
        yield stack
    finally:
        await stack.stop()
        stack.wipe()


async def stats(stack: Stack) -> dict[str, Any]:
    async with aiohttp.ClientSession() as session, session.get(stack.address(WORKER) + "/") as response:
        page: dict[str, Any] = await response.json()
        return page


async def test_promise_3_corrupt_changelog_is_rebuilt_and_costs_no_embedding(stack: Stack) -> None:
    said: list[str] = []
    async with (
        open_rows(stack.settings) as rows,
        open_store(stack.settings) as store,
        Pipeline.open(stack.settings) as pipeline,
    ):
        for number in range(30):
            await rows.execute("INSERT INTO products (article_id, name) VALUES ($1, 'Strap top')", f"R{number}")
        await rows.execute("DELETE FROM products WHERE article_id = 'R7'")
        await pipeline.settle()

        # It reads while a worker runs, but never writes.
        dry = await rebuild_table(stack.settings, dry_run=True, say=said.append)
        assert (dry.keys, dry.deleted, dry.undecodable, dry.written) == (30, 1, 0, False)
        with pytest.raises(BrokerError, match="test-rebuild") as refused:
            await rebuild_table(stack.settings, dry_run=False, say=said.append)
        assert refused.value.hint == "stop every worker first"

        await stack.kill(WORKER)
        place = _write_what_is_no_entry(stack.settings.kafka.brokers)
        with pytest.raises(StackError) as broken:
            await stack.restart(WORKER)
        assert f"{CHANGELOG}{place}" in str(broken.value)
        assert "lockstep table rebuild" in str(broken.value)

        report = await rebuild_table(stack.settings, dry_run=False, say=said.append)
        assert (report.keys, report.deleted, report.undecodable, report.written) == (30, 1, 0, True)
        assert any("waiting for the session of test-rebuild" in line for line in said)

        await stack.restart(WORKER)
        await rows.execute("UPDATE products SET price = 12.50")
        assert (await reconcile(rows, store, settle=pipeline.settle)).in_sync
        page = await stats(stack)
        assert page["actions"]["overwrite_payload"] == 29
        assert page["embeddings_made"] == 0


def _write_what_is_no_entry(brokers: str) -> str:
    placed: list[Any] = []
    producer = Producer({"bootstrap.servers": brokers})
    producer.produce(CHANGELOG, partition=2, key=b"R3", value=b"{}", on_delivery=lambda _, m: placed.append(m))
    producer.flush(20)
    return f"[2]@{placed[0].offset()}"
