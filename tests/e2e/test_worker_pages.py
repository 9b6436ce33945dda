"""The worker's own pages on the running stack: numbers that move, a part that fails, and its end."""

import signal
from typing import Any

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from streams import metrics
from tests.e2e.conftest import WORKER, Running

pytestmark = pytest.mark.stack


async def _text(running: Running, path: str) -> str:
    async with aiohttp.ClientSession() as session, session.get(running.stack.address(WORKER) + path) as response:
        assert response.status == 200
        return await response.text()


async def _value(running: Running, definition: metrics.Definition, suffix: str = "", **labels: str) -> float | None:
    """A sample of the worker's metrics, as Prometheus reads it."""
    name = definition.name + suffix
    for family in text_string_to_metric_families(await _text(running, "/metrics")):
        for sample in family.samples:
            if sample.name == name and sample.labels == labels:
                return float(sample.value)
    return None


async def test_numbers_move_when_rows_change(running: Running) -> None:
    key = await running.insert("seen")
    await running.until_payload(key)
    await running.pipeline.settle()
    overwrites: dict[str, str] = {"action": "overwrite_payload", "operation": "update"}
    before = await _value(running, metrics.CHANGES, **overwrites)
    made = await _value(running, metrics.EMBEDDINGS_MADE)
    aged = await _value(running, metrics.COMMIT_TO_SEARCHABLE, "_count")
    await running.sql("UPDATE products SET price = 7 WHERE article_id = $1", key)
    await running.until_payload(key, price=7)
    await running.pipeline.settle()
    assert before is not None
    assert await _value(running, metrics.CHANGES, **overwrites) == before + 1
    assert await _value(running, metrics.EMBEDDINGS_MADE) == made
    assert aged is not None
    assert await _value(running, metrics.COMMIT_TO_SEARCHABLE, "_count") == aged + 1

    async def in_step() -> bool:
        page: dict[str, Any] = await running.worker() or {}
        return bool(page) and all(lag["lag_records"] == 0 for lag in page["lag"])

    await running.until(in_step)


async def test_an_outage_turns_the_page_red_with_its_reason_and_green_again(running: Running) -> None:
    await running.until_payload(await running.insert("before"))
    assert "Ready" in await _text(running, "/pipeline/")
    await running.stack.kill("qdrant", signal.SIGKILL)
    late = await running.insert("during")

    async def held() -> bool:
        return await _value(running, metrics.HELD, part="qdrant") == 1

    await running.until(held)
    page = await _text(running, "/pipeline/")
    assert "Held because of qdrant" in page
    assert "LOCKSTEP_QDRANT_URL" in page  # what to try
    await running.stack.restart("qdrant")
    await running.until_payload(late)

    async def ready() -> bool:
        return "Ready" in await _text(running, "/pipeline/")

    await running.until(ready)
    assert await _value(running, metrics.HELD, part="qdrant") == 0
    assert (await _value(running, metrics.HELD_SECONDS, part="qdrant") or 0) > 0
