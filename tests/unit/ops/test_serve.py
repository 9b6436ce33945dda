"""How the API starts and how it ends."""

import asyncio
import logging
import os
import signal
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from pydantic import BaseModel

from ops import serve as serving
from ops.api.app import Limits, create_api
from ops.api.operation import Call, Operation, Reply
from ops.serve import run_api, serve
from ops.settings import ApiSettings, KafkaSettings, PostgresSettings, QdrantSettings, Settings
from schemas.errors import SettingsError
from tests.fakes.api import FakeGate, operation

NOBODY = "127.0.0.1:1"  # a port where nothing listens


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def _api(*operations: Operation) -> web.Application:
    return create_api(operations, gate=FakeGate(), limits=Limits(), host="127.0.0.1")


@asynccontextmanager
async def _running(app: web.Application, api: ApiSettings) -> AsyncIterator[asyncio.Task[None]]:
    """The server, answering; ended by the end of the block at the latest."""
    task = asyncio.create_task(serve(app, api))
    try:
        await _until(lambda: _listens(api.port), task)
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _until(check: Callable[[], bool], task: asyncio.Task[Any]) -> None:
    async with asyncio.timeout(20):
        while not check() and not task.done():
            await asyncio.sleep(0.01)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "shop.example"])
async def test_an_address_open_to_others_needs_a_token_first(host: str, tmp_path: Path) -> None:
    settings = Settings(_env_file=None, home=tmp_path, api=ApiSettings(host=host))
    with pytest.raises(SettingsError, match=f"LOCKSTEP_API_HOST={host}") as caught:
        await run_api(settings)
    assert caught.value.hint is not None
    assert "lockstep tokens create" in caught.value.hint


async def test_a_port_that_is_taken_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SettingsError, match=f"LOCKSTEP_API_PORT={port}"):
            await serve(_api(), ApiSettings(port=port))


async def test_a_certificate_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_text("no key")
    api = ApiSettings(tls_certificate=tmp_path / "none.pem", tls_key=tmp_path / "key.pem")
    with pytest.raises(SettingsError, match="LOCKSTEP_API_TLS_CERTIFICATE"):
        await run_api(Settings(_env_file=None, home=tmp_path, api=api))


async def test_it_starts_while_every_part_is_down_and_says_which(tmp_path: Path, port: int) -> None:
    settings = Settings(
        _env_file=None,
        home=tmp_path,
        api=ApiSettings(port=port),
        kafka=KafkaSettings(brokers=NOBODY),
        postgres=PostgresSettings(dsn=f"postgresql://lockstep:x@{NOBODY}/shop"),
        qdrant=QdrantSettings(url=f"http://{NOBODY}"),
    )
    task = asyncio.create_task(run_api(settings))
    await _until(lambda: _listens(port), task)
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
        async with session.get("/health/live") as live:
            assert live.status == 200
        async with session.get("/health/ready") as ready:
            assert ready.status == 503
            assert [part["name"] for part in (await ready.json())["errors"]] == ["postgres", "qdrant", "broker"]
        async with session.get("/search?q=hat") as search:
            assert search.status == 503
            assert "Retry-After" in search.headers
            assert (await search.json())["type"] == "/docs/problems#search-unavailable"
        async with session.get("/products/1") as product:
            assert product.status == 503
            assert (await product.json())["type"] == "/docs/problems#catalogue-unavailable"
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.wait_for(task, 20)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_request_in_flight_ends_and_no_other_begins(number: signal.Signals, port: int) -> None:
    started, release = asyncio.Event(), asyncio.Event()

    async def wait(call: Call[Any, Any, Any]) -> Reply:
        started.set()
        await release.wait()
        return Reply(status=204)

    async with (
        _running(_api(operation(handler=wait)), ApiSettings(port=port)) as task,
        aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session,
    ):
        request = asyncio.create_task(session.get("/thing"))
        await started.wait()
        os.kill(os.getpid(), number)
        await _until(lambda: not _listens(port), task)
        assert not task.done()
        release.set()
        assert (await request).status == 204
        await asyncio.wait_for(task, 20)


async def test_a_request_that_does_not_end_is_given_up_in_time(port: int) -> None:
    started = asyncio.Event()

    async def hang(call: Call[Any, Any, Any]) -> Reply:
        started.set()
        await asyncio.Event().wait()
        raise AssertionError

    api = ApiSettings(port=port, shutdown_seconds=2)
    async with (
        _running(_api(operation(handler=hang)), api) as task,
        aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session,
    ):
        request = asyncio.create_task(session.get("/thing"))
        await started.wait()
        told = time.monotonic()
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(task, 10)
        assert 2 <= time.monotonic() - told < 3.5
        with pytest.raises(aiohttp.ClientError):
            await request


async def test_a_second_signal_ends_it_at_once(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    codes: list[int] = []
    monkeypatch.setattr(serving, "end", codes.append)
    started, release = asyncio.Event(), asyncio.Event()

    async def wait(call: Call[Any, Any, Any]) -> Reply:
        started.set()
        await release.wait()
        return Reply(status=204)

    async with (
        _running(_api(operation(handler=wait)), ApiSettings(port=port)) as task,
        aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session,
    ):
        request = asyncio.create_task(session.get("/thing"))
        await started.wait()
        os.kill(os.getpid(), signal.SIGTERM)
        await _until(lambda: not _listens(port), task)
        assert codes == []
        os.kill(os.getpid(), signal.SIGTERM)
        await _until(lambda: bool(codes), task)
        release.set()
        await request
    assert codes == [130]


@pytest.mark.parametrize("head", [b"", b"GET /thing HTTP/1.1\r\nHost: local"], ids=["nothing", "half a head"])
async def test_a_client_that_does_not_send_its_head_is_cut_off(
    head: bytes, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "IDLE_SECONDS", 0.1)
    async with _running(_api(operation()), ApiSettings(port=port)):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(head)
        assert await asyncio.wait_for(reader.read(), 5) == b""
        writer.close()
        await writer.wait_closed()


class _Thing(BaseModel, extra="forbid"):
    name: str


async def test_a_client_that_goes_away_in_its_body_is_no_failure_of_ours(
    port: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    gate = FakeGate()
    app = create_api([operation(method="PUT", body_model=_Thing)], gate=gate, limits=Limits(), host="127.0.0.1")

    def lines() -> list[dict[str, Any]]:
        return [vars(record) for record in caplog.records if record.name == "ops.api.boundary"]

    async with _running(app, ApiSettings(port=port)) as task:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"PUT /thing HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n")
        writer.write(b'Content-Length: 14\r\n\r\n{"na')
        await gate.asked.wait()
        writer.close()
        await writer.wait_closed()
        await _until(lambda: bool(lines()), task)
    assert [(line["action"], line["status"]) for line in lines()] == [("request", 400)]


async def test_what_is_no_http_is_one_line_without_its_bytes(port: int, caplog: pytest.LogCaptureFixture) -> None:
    async with _running(_api(operation()), ApiSettings(port=port)):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /thing HTTP/1.1\r\nHost: localhost\r\ns3cret\r\n\r\n")
        assert (await asyncio.wait_for(reader.read(), 5)).startswith(b"HTTP/1.0 400 ")
        writer.close()
        await writer.wait_closed()
    [record] = [record for record in caplog.records if record.name == "aiohttp.server"]
    assert record.levelno == logging.INFO
    assert "s3cret" not in caplog.text
