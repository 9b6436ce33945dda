"""What workers' pages say, and what stands in the place of a page that cannot be read."""

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from ops.status.workers import add_up, ask_workers

PAGE: dict[str, Any] = {
    "worker": "worker-1",
    "version": "0.1.0",
    "partitions": [0, 1],
    "uptime_seconds": 12.5,
    "unready_because": "held: cannot reach qdrant",
    "hint": "lockstep up",
    "held": {"part": "qdrant", "seconds": 3.5},
    "table_entries": 48,
    "records": 47,
    "embeddings_made": 30,
    "embeddings_avoided": 17,
    "actions": {"upsert_point": 30, "skip": 2},
}


class Page:
    """A worker's web; `answer` is what it says, and `hangs` makes it say nothing at all."""

    def __init__(self) -> None:
        self.answer: Any = PAGE
        self.status = 200
        self.hangs = False

    async def serve(self, request: web.Request) -> web.Response:
        if self.hangs:
            await asyncio.Event().wait()
        return web.json_response(self.answer, status=self.status)


@pytest.fixture
def page() -> Page:
    return Page()


@pytest.fixture
async def url(page: Page) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_get("/", page.serve)
    async with TestServer(app) as server:
        yield str(server.make_url("")).rstrip("/")


async def test_a_name_with_several_addresses_stands_for_a_worker_at_each(
    page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def resolve(host: str, port: int, **_: Any) -> list[Any]:
        addresses = ["127.0.0.2", "127.0.0.1", "127.0.0.2"] if host == "worker" else [host]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    async def serve(request: web.Request) -> web.Response:
        assert request.transport is not None
        return web.json_response(PAGE | {"worker": request.transport.get_extra_info("sockname")[0]})

    app = web.Application()
    app.router.add_get("/", serve)
    async with TestServer(app, host="0.0.0.0") as server:
        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolve)
        workers = await ask_workers([f"http://worker:{server.port}"], within_seconds=5)
    assert [(worker.name, worker.error) for worker in workers] == [("127.0.0.1", None), ("127.0.0.2", None)]


async def test_a_name_that_is_not_known_is_asked_and_says_so() -> None:
    [worker] = await ask_workers(["http://nobody.invalid:6066"], within_seconds=5)
    assert worker.url == "http://nobody.invalid:6066"
    assert worker.error is not None
    assert worker.error.startswith("cannot connect")


async def test_a_workers_page_is_read(url: str) -> None:
    [worker] = await ask_workers([url], within_seconds=5)
    assert (worker.url, worker.error, worker.name, worker.partitions) == (url, None, "worker-1", [0, 1])
    assert (worker.unready_because, worker.hint) == ("held: cannot reach qdrant", "lockstep up")
    assert (worker.held_part, worker.held_seconds) == ("qdrant", 3.5)
    assert worker.actions == {"upsert_point": 30, "skip": 2}


async def test_a_page_that_hangs_does_not_hide_the_other_workers(url: str, page: Page) -> None:
    page.hangs = True
    hanging, gone = await ask_workers([url, "http://127.0.0.1:1"], within_seconds=0.2)
    assert hanging.error == "no answer within 0.2 s"
    assert gone.error is not None
    assert gone.error.startswith("cannot connect: ")


@pytest.mark.parametrize(
    ("answer", "status", "error"),
    [
        pytest.param({}, 503, "answers with status 503", id="a-failure"),
        pytest.param({"worker": "x"}, 200, "no worker of this version", id="another-program"),
        pytest.param("text", 200, "no worker of this version", id="no-object"),
    ],
)
async def test_what_is_no_page_of_a_worker_is_an_error(
    answer: Any, status: int, error: str, url: str, page: Page
) -> None:
    page.answer, page.status = answer, status
    [worker] = await ask_workers([url], within_seconds=5)
    assert error in (worker.error or "")


async def test_what_answers_something_else_than_http_is_an_error() -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        [worker] = await ask_workers([f"http://127.0.0.1:{port}"], within_seconds=5)
    assert worker.error is not None
    assert worker.error.startswith("breaks off: ")


async def test_the_work_of_those_that_answer_is_added_up(url: str) -> None:
    workers = await ask_workers([url, url, "http://127.0.0.1:1"], within_seconds=5)
    work = add_up(workers)
    assert work is not None
    assert (work.workers, work.table_entries, work.embeddings_made, work.embeddings_avoided) == (2, 96, 60, 34)
    assert work.actions == {"upsert_point": 60, "skip": 4}
    assert add_up(workers[2:]) is None
