"""What the demo adds up of its workers."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from ops.demo.probes import WorkerStats


class Page:
    """A worker's page."""

    def __init__(self, worker: str) -> None:
        self.says: dict[str, Any] = {
            "worker": worker,
            "pid": 7,
            "uptime_seconds": 30.0,
            "embeddings_made": 10,
            "dead_letters": {"DecodeError": 1},
        }

    async def serve(self, request: web.Request) -> web.Response:
        return web.json_response(self.says)


@pytest.fixture
async def pages() -> AsyncIterator[tuple[Page, Page, tuple[str, ...]]]:
    one, two = Page("one"), Page("two")
    apps = []
    for page in (one, two):
        app = web.Application()
        app.router.add_get("/", page.serve)
        apps.append(app)
    async with TestServer(apps[0]) as first, TestServer(apps[1]) as second:
        yield one, two, tuple(str(server.make_url("")).rstrip("/") for server in (first, second))


async def test_a_worker_that_starts_again_counts_on_even_with_the_same_pid(
    pages: tuple[Page, Page, tuple[str, ...]],
) -> None:
    one, two, urls = pages

    async def running() -> tuple[str, ...]:
        return urls

    stats = WorkerStats(running)
    await stats.look()
    one.says |= {"uptime_seconds": 31.0, "embeddings_made": 12}
    await stats.look()
    one.says |= {"uptime_seconds": 0.5, "embeddings_made": 3, "dead_letters": {}}
    two.says |= {"uptime_seconds": 32.0}
    await stats.look()
    assert stats.total("embeddings_made") == 12 + 3 + 10
    assert stats.dead_letters() == 2


async def test_a_page_that_does_not_answer_is_passed_over(pages: tuple[Page, Page, tuple[str, ...]]) -> None:
    async def running() -> tuple[str, ...]:
        return ("http://127.0.0.1:1", pages[2][0])

    stats = WorkerStats(running)
    await stats.look()
    assert stats.total("embeddings_made") == 10
