"""A worker is paused past its session and wakes up: what it held lands late, moves nothing back and loses nothing."""

import asyncio
import re
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, Self
from urllib.parse import urlsplit

import aiohttp
import pytest

from connectors.kafka import KafkaAdmin
from ops.devstack.stack import Stack
from streams.topics import APP_ID, PARTITIONS, PRODUCT_CHANGES
from tests.e2e.conftest import WORKER, Running

pytestmark = pytest.mark.stack

SECOND = "worker-2"
PATIENCE_SECONDS = 60.0
"""Longer than a session, a request and a delete's repeat after both."""

UPSERT = re.compile(rb"PUT /collections/[^/ ]+/points\?")
POINTS = 2
"""One is deleted and one updated while the upsert of both is held."""


class Gate:
    """A proxy in front of Qdrant that keeps one upsert back, and delivers it whatever became of its sender."""

    def __init__(self, qdrant: str) -> None:
        self._qdrant = urlsplit(qdrant)
        self._armed = False
        self._released = asyncio.Event()
        self._connections: set[asyncio.Task[None]] = set()
        self.held = asyncio.Event()
        self.request = b""

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def hold_next_upsert(self) -> None:
        self._armed = True

    def release(self) -> None:
        self._released.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)
        assert self._qdrant.port is not None
        answers, requests = await asyncio.open_connection(self._qdrant.hostname, self._qdrant.port)
        try:
            with suppress(ConnectionError, ExceptionGroup):  # worker and Qdrant close as they like
                async with asyncio.TaskGroup() as both:
                    both.create_task(self._forward_requests(reader, requests))
                    both.create_task(_forward(answers, writer))
        finally:
            writer.close()
            requests.close()

    async def _forward_requests(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            if self._armed and UPSERT.match(data):
                while not _is_whole(data):
                    data += await reader.read(65536)
                if data.count(b'"payload":') >= POINTS:  # the first batch may be a single row
                    self._armed = False
                    self.request = data
                    self.held.set()
                    await self._released.wait()
            writer.write(data)
            await writer.drain()
        writer.close()


async def _forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()


def _is_whole(request: bytes) -> bool:
    head, end, body = request.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: (\d+)", head)
    return bool(end and length and len(body) >= int(length[1]))


@asynccontextmanager
async def second_worker(running: Running, qdrant: str | None = None) -> AsyncIterator[Stack]:
    """Another worker of the same group, which has half of the partitions; at the end the first has all again."""
    settings = running.stack.settings
    if qdrant:
        settings = settings.model_copy(update={"qdrant": settings.qdrant.model_copy(update={"url": qdrant})})
    second = Stack(settings, running.stack.home.path, services=(), workers=2, usual_ports=False)
    await second.start_servers()  # none: it only finds a port for the worker
    try:
        await second.start_workers()
        await until(lambda: shared_out(running.stack, second))
        yield second
    finally:
        await second.kill(SECOND, signal.SIGKILL)
        await until(lambda: has_all(running.stack))


async def until(check: Callable[[], Awaitable[Any]]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not await check():
            await asyncio.sleep(0.05)


async def partitions(address: str) -> int:
    """How many a worker reads, once it is ready."""
    try:
        async with aiohttp.ClientSession() as session, session.get(address) as response:
            page = await response.json()
    except aiohttp.ClientError:
        return 0
    return 0 if page["unready_because"] else len(page["partitions"])


async def shared_out(first: Stack, second: Stack) -> bool:
    each = [await partitions(first.address(WORKER)), await partitions(second.address(SECOND))]
    return each == [PARTITIONS // 2, PARTITIONS // 2]


async def has_all(first: Stack) -> bool:
    return await partitions(first.address(WORKER)) == PARTITIONS


async def committed(running: Running) -> dict[int, int]:
    async with KafkaAdmin(running.stack.settings.kafka.brokers) as admin:
        return await admin.committed(APP_ID, PRODUCT_CHANGES)


async def wake_up_and_end(second: Stack) -> None:
    """Wake the paused worker, and see it end by its own decision."""
    await second.kill(SECOND, signal.SIGCONT)

    async def ended() -> bool:
        return not second.is_running(SECOND)

    await until(ended)
    assert "exit code 70" in second.how_it_ended(SECOND)
    assert "the event loop stood still" in second.log_file(SECOND).read_text()


async def test_promise_2_write_of_a_paused_worker_lands_late_and_leaves_no_trace(running: Running) -> None:
    async with Gate(running.stack.settings.qdrant.url) as gate, second_worker(running, gate.address) as second:
        gate.hold_next_upsert()
        await running.sql(
            "INSERT INTO products (article_id, name) SELECT $1 || n, 'Strap top ' || n FROM generate_series(1, 40) n",
            running.key("A"),
        )
        async with asyncio.timeout(PATIENCE_SECONDS):
            await gate.held.wait()
        await second.kill(SECOND, signal.SIGSTOP)
        held = [key for n in range(1, 41) if f'"{(key := running.key(f"A{n}"))}"'.encode() in gate.request]
        assert len(held) >= POINTS
        deleted, updated = held[:2]
        await running.pipeline.settle()  # the first worker has taken over and applied everything
        await running.sql("UPDATE products SET price = 2 WHERE article_id = $1", updated)
        await running.sql("DELETE FROM products WHERE article_id = $1", deleted)
        newest = await running.until_payload(updated, price_text="2.00")
        await running.until_gone(deleted)
        await running.pipeline.settle()
        before = await committed(running)

        gate.release()

        async def is_a_ghost() -> bool:
            return await running.payload(deleted) is not None

        await until(is_a_ghost)
        assert await running.payload(updated) == newest

        async def is_gone() -> bool:
            return not await is_a_ghost()

        await until(is_gone)
        await wake_up_and_end(second)
        after = await committed(running)
        assert all(after[partition] >= offset for partition, offset in before.items())
        assert await running.payload(updated) == newest
        report = await running.reconcile()
        assert report.in_sync, report
