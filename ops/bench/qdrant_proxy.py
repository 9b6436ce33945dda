"""A proxy in front of Qdrant that answers badly when told to, and watches the versions of what it forwards."""

import asyncio
import io
import random
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import TracebackType
from typing import Any, Self

import aiohttp
import orjson
from aiohttp import web
from yarl import URL

from ops.bench.version_watch import VersionWatch
from schemas.errors import VectorStoreError

HOST = "127.0.0.1"
MAX_BODY_BYTES = 64 * 1024 * 1024
"""Above Qdrant's own limit, so that a body which is too large gets Qdrant's answer."""

_FORWARDED_HEADERS = ("Content-Type", "api-key")
_HANG_CHECK_SECONDS = 0.1
_SHUTDOWN_SECONDS = 1.0


class Fault(StrEnum):
    """What is done to a request instead of forwarding it and its answer."""

    NONE = "none"
    ERROR_500 = "error_500"
    TOO_MANY = "too_many"
    """Answer 429."""
    REFUSE_EVERYTHING = "refuse_everything"
    """Answer 403."""
    TIME_OUT = "time_out"
    """Never answer: the connection stays open until the client goes away or the fault ends. Nothing is forwarded."""
    SLOW = "slow"
    """Forward late, whether or not the client still waits: the write of a worker that may be long gone."""
    DROP_BEFORE = "drop_before"
    """Close the connection; Qdrant never hears of the request."""
    DROP_AFTER = "drop_after"
    """Close the connection after Qdrant applied the request: the client cannot know."""


_REFUSALS = {
    Fault.ERROR_500: (500, "Service internal error: injected"),
    Fault.TOO_MANY: (429, "Rate limit exceeded: injected"),
    Fault.REFUSE_EVERYTHING: (403, "Forbidden: injected"),
}


class Faults:
    """The fault of now, and in `hits` how many requests each one was done to; `NONE` is not counted."""

    def __init__(self, rng: random.Random) -> None:
        self.hits: Counter[Fault] = Counter()
        self.fault = Fault.NONE
        self.share = 0.0
        self.turn = 0
        """Goes up with every `set`, so that who waits for the end of a fault sees it."""
        self._rng = rng

    def set(self, fault: Fault, share: float = 1.0) -> None:
        """Do this to that share (0 to 1) of the requests that come from now on; ends what was done before."""
        self.fault = fault
        self.share = share
        self.turn += 1

    def draw(self) -> Fault:
        """What to do to the next request."""
        if self.fault is Fault.NONE or self._rng.random() >= self.share:
            return Fault.NONE
        self.hits[self.fault] += 1
        return self.fault


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    status: int
    body: bytes
    content_type: str


class QdrantProxy:
    """Stands between workers and the Qdrant at `target()`, from `async with` until its end, on a free port.

    It forwards a request once, whatever becomes of it, and never repeats one. While Qdrant is down it closes
    connections without an answer. Requests run side by side, but the writes of one collection one at a time: `watch`
    reads the written points back before the next write, and before the answer.

    `rng` decides which requests a fault is done to. `api_key` is for the watch's own reads.
    """

    def __init__(
        self,
        target: Callable[[], str],
        *,
        rng: random.Random,
        slow_seconds: float = 3.0,
        api_key: str | None = None,
    ) -> None:
        self.faults = Faults(rng)
        self.watch = VersionWatch(self._ask)
        self._target = target
        self._slow_seconds = slow_seconds
        self._own_headers = {"Content-Type": "application/json"} | ({"api-key": api_key} if api_key else {})
        app = web.Application(client_max_size=MAX_BODY_BYTES)
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=_SHUTDOWN_SECONDS)
        self._session: aiohttp.ClientSession | None = None

    @property
    def address(self) -> str:
        """The URL for `LOCKSTEP_QDRANT_URL`; known once it runs."""
        return f"http://{HOST}:{self._runner.addresses[0][1]}"

    async def __aenter__(self) -> Self:
        # A connection for each request: a kept one may have died with Qdrant, and aiohttp would send again on another.
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, force_close=True), timeout=aiohttp.ClientTimeout(total=None)
        )
        await self._runner.setup()
        await web.TCPSite(self._runner, HOST, 0).start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End every fault, cut what is still under way and free the port."""
        self.faults.set(Fault.NONE)
        await self._runner.cleanup()
        if self._session is not None:
            await self._session.close()

    async def _handle(self, request: web.Request) -> web.Response:
        try:
            body = await request.read()
        except ConnectionError:
            return _cut(request)
        fault = self.faults.draw()
        match fault:
            case Fault.ERROR_500 | Fault.TOO_MANY | Fault.REFUSE_EVERYTHING:
                return _refusal(*_REFUSALS[fault])
            case Fault.DROP_BEFORE:
                return _cut(request)
            case Fault.TIME_OUT:
                await self._hang(request)
                return _cut(request)
            case Fault.SLOW:
                await asyncio.sleep(self._slow_seconds)
        try:
            answer = await self._forward(request, body)
        except VectorStoreError:
            return _cut(request)
        if fault is Fault.DROP_AFTER:
            return _cut(request)
        return web.Response(status=answer.status, body=answer.body, headers={"Content-Type": answer.content_type})

    async def _hang(self, request: web.Request) -> None:
        turn = self.faults.turn
        while self.faults.turn == turn and request.transport is not None:
            await asyncio.sleep(_HANG_CHECK_SECONDS)

    async def _forward(self, request: web.Request, body: bytes) -> _Answer:
        headers = {name: request.headers[name] for name in _FORWARDED_HEADERS if name in request.headers}
        async with self.watch.over(request.method, request.rel_url.raw_path, body):
            return await self._send(request.method, request.raw_path, headers, body)

    async def _ask(self, path: str, body: Mapping[str, Any]) -> Any:
        answer = await self._send("POST", path, self._own_headers, orjson.dumps(body))
        if answer.status != 200:
            raise VectorStoreError(f"cannot read points back: qdrant answered {answer.status} to {path}")
        return orjson.loads(answer.body)["result"]

    async def _send(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> _Answer:
        if self._session is None:
            raise RuntimeError("the proxy has not been started")
        url = URL(self._target().rstrip("/") + path, encoded=True)
        data = io.BytesIO(body) if body else None  # aiohttp warns of large bodies given as bytes
        try:
            async with self._session.request(method, url, headers=headers, data=data) as answer:
                return _Answer(
                    status=answer.status,
                    body=await answer.read(),
                    content_type=answer.headers.get("Content-Type", "application/json"),
                )
        except (aiohttp.ClientError, OSError) as error:
            raise VectorStoreError(f"cannot reach qdrant: {error}") from error


def _refusal(status: int, reason: str) -> web.Response:
    body = orjson.dumps({"status": {"error": reason}, "time": 0.0})
    return web.Response(status=status, body=body, content_type="application/json")


def _cut(request: web.Request) -> web.Response:
    """Close the connection; the response is for aiohttp alone, which finds nobody to send it to."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()
