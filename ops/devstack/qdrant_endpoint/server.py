"""HTTP around the store: bodies in, answers out in Qdrant's envelope, and a flush every few seconds."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from importlib.metadata import version
from time import perf_counter
from typing import Any

import orjson
from aiohttp import web

from ops.devstack.qdrant_endpoint.calls import Call, Route
from ops.devstack.qdrant_endpoint.collection_routes import COLLECTION_ROUTES
from ops.devstack.qdrant_endpoint.point_routes import POINT_ROUTES
from ops.devstack.qdrant_endpoint.refusals import Refusal, not_served
from ops.devstack.qdrant_endpoint.store import Store

MAX_BODY_BYTES = 32 * 1024 * 1024  # the server's own limit
_FLUSH_SECONDS = 5.0
# Two: one request may be at the engine while another is parsed. The engine keeps the interpreter's lock, so that
# more would only hold more memory.
_THREADS = 2

logger = logging.getLogger(__name__)

Handler = Callable[[web.Request], Any]


def build_app(store: Store) -> web.Application:
    """The endpoint over an open store, which it flushes while it runs and closes at its end."""
    pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="engine")
    app = web.Application(client_max_size=MAX_BODY_BYTES)
    app.cleanup_ctx.append(lambda _: _flushed(store, pool))
    app.router.add_get("/", _version)
    for path, text in (
        ("/healthz", "healthz check passed"),
        ("/livez", "livez check passed"),
        ("/readyz", "all shards are ready"),
    ):
        app.router.add_get(path, _says(text))
    for route in (*COLLECTION_ROUTES, *POINT_ROUTES):
        app.router.add_route(route.method, route.path, _served(route, store, pool))
    app.router.add_route("*", "/{path:.*}", _not_served)
    return app


@asynccontextmanager
async def _flushed(store: Store, pool: ThreadPoolExecutor) -> AsyncIterator[None]:
    loop = asyncio.get_running_loop()

    async def flush_for_ever() -> None:
        while True:
            await asyncio.sleep(_FLUSH_SECONDS)
            await loop.run_in_executor(pool, store.flush)

    flusher = asyncio.create_task(flush_for_ever())
    yield
    flusher.cancel()
    with suppress(asyncio.CancelledError):
        await flusher
    pool.shutdown()
    store.close()


def _served(route: Route, store: Store, pool: ThreadPoolExecutor) -> Handler:
    def answer(call: Call, started: float) -> tuple[int, bytes]:
        try:
            result = route.answer(store, call)
        except Refusal as refusal:
            if refusal.status >= 500 and refusal.status != 501:
                logger.exception("request failed", extra={"where": f"{route.method} {route.path}"})
            return refusal.status, _refusal_body(refusal, started)
        return 200, orjson.dumps({"result": result, "status": "ok", "time": perf_counter() - started})

    async def handle(request: web.Request) -> web.Response:
        started = perf_counter()
        try:
            body = await request.read()
        except web.HTTPRequestEntityTooLarge:
            too_large = Refusal(400, f"JSON payload is larger than allowed (limit: {MAX_BODY_BYTES} bytes).")
            return _json(too_large.status, _refusal_body(too_large, started))
        call = Call(path=request.match_info, body=body)
        return _json(*await asyncio.get_running_loop().run_in_executor(pool, answer, call, started))

    return handle


async def _version(_: web.Request) -> web.Response:
    # The version is that of the REST models it is made of: what a client compares with its own.
    about = {
        "title": f"Lockstep's Qdrant endpoint (Edge {version('qdrant-edge-py')})",
        "version": version("qdrant-client"),
    }
    return _json(200, orjson.dumps(about))


def _says(text: str) -> Handler:
    async def handle(_: web.Request) -> web.Response:
        return web.Response(text=text)

    return handle


async def _not_served(request: web.Request) -> web.Response:
    refusal = not_served(f"{request.method} {request.path}")
    return _json(refusal.status, _refusal_body(refusal, perf_counter()))


def _refusal_body(refusal: Refusal, started: float) -> bytes:
    return orjson.dumps({"status": {"error": str(refusal)}, "time": perf_counter() - started})


def _json(status: int, body: bytes) -> web.Response:
    return web.Response(status=status, body=body, content_type="application/json")
