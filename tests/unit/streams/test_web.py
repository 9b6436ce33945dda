"""The pages of a worker's own web, asked through a real socket."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import pytest
from aiohttp.test_utils import TestClient, TestServer
from prometheus_client.parser import text_string_to_metric_families

from schemas.errors import VectorStoreError
from streams.app import create_app
from streams.health import Health
from streams.web import register_pages
from streams.worker_state import WorkerState
from tests.fakes.worker import worker_state

Client = TestClient[Any, Any]


class Shown:
    """What the pages show."""

    def __init__(self) -> None:
        self.health = Health()

    def state(self) -> WorkerState:
        return worker_state(health=self.health, unready_because=self.health.trouble())


@pytest.fixture
def shown() -> Shown:
    return Shown()


@pytest.fixture
async def client(shown: Shown, tmp_path: Path) -> AsyncIterator[Client]:
    app = create_app(
        "test-pages",
        brokers="127.0.0.1:1",
        worker_name="worker-1",
        partitions=6,
        batch_records=10,
        session_timeout_seconds=10,
        data_directory=str(tmp_path),
        web_host="127.0.0.1",
        web_port=6066,
    )
    register_pages(app, state=shown.state, silence_seconds=lambda: 0.1)
    app.finalize()
    async with TestClient(TestServer(await cast(Any, app.web).wsgi())) as client:
        yield client


async def test_stats_keep_what_others_read_and_add_lag_rates_and_stages(client: Client) -> None:
    page = await (await client.get("/")).json()
    assert page["records"] == 0
    assert page["partitions"] == [0]
    assert page["dead_letters"] == {}
    assert page["unready_because"] is None
    assert page["lag"][0]["lag_records"] == 3
    assert page["rates_per_second"]["records"] == 0
    assert {"worker", "pid", "hint", "table_entries", "actions", "events", "uptime_seconds"} <= page.keys()


async def test_metrics_come_in_the_format_that_was_asked_for(client: Client) -> None:
    plain = await client.get("/metrics")
    assert plain.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert any(f.name == "lockstep_worker_ready" for f in text_string_to_metric_families(await plain.text()))
    strict = await client.get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    assert strict.headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
    assert (await strict.text()).endswith("# EOF\n")


async def test_the_page_and_what_it_loads_are_served_and_run_nothing_of_others(client: Client) -> None:
    page = await client.get("/pipeline/")
    assert page.content_type == "text/html"
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert (await client.get("/pipeline/page.css")).content_type == "text/css"
    assert (await client.get("/pipeline/page.js")).content_type == "text/javascript"


async def test_a_hold_shows_on_every_page_until_it_passes(client: Client, shown: Shown) -> None:
    shown.health.hold(VectorStoreError("qdrant is down", hint="start it"))
    ready = await client.get("/health/ready")
    assert (ready.status, await ready.json()) == (
        503,
        {"ready": False, "reason": "held: qdrant is down", "hint": "start it"},
    )
    assert (await (await client.get("/")).json())["held"]["part"] == "qdrant"
    assert 'lockstep_held{part="qdrant"} 1.0' in await (await client.get("/metrics")).text()
    assert "held: qdrant is down" in await (await client.get("/pipeline/")).text()
    shown.health.release()
    assert (await client.get("/health/ready")).status == 200
    assert (await (await client.get("/")).json())["held"] is None


@pytest.mark.parametrize("path", ["/", "/metrics", "/pipeline/", "/health/ready", "/health/live"])
async def test_no_page_waits_for_what_does_not_answer(client: Client, shown: Shown, path: str) -> None:
    shown.health.hold(VectorStoreError("qdrant is down"))
    with shown.health.confirming():
        async with asyncio.timeout(2):
            assert (await client.get(path)).status in (200, 503)
