"""The pages of a worker's own web: its state as JSON, and the two health checks."""

import time
from collections.abc import Callable
from typing import Any

import faust
from faust import web

STALLED_AFTER_SECONDS = 60.0


def register_pages(
    app: faust.App,
    *,
    stats: Callable[[], dict[str, Any]],
    unready_because: Callable[[], str | None],
    hint: Callable[[], str | None],
    silence_seconds: Callable[[], float],
) -> None:
    """Add `/`, `/health/live` and `/health/ready`; they answer from the start on, before any assignment.

    Ready means that the worker has its partitions and its table and holds nothing. An idle worker asks nobody, so it
    stays ready while Qdrant is down: the next change tells.
    """
    started = time.monotonic()

    @app.page("/", name="stats")
    async def index(view: web.View, request: web.Request) -> web.Response:
        return view.json({"uptime_seconds": round(time.monotonic() - started, 1), **stats()})

    @app.page("/health/live", name="live")
    async def live(view: web.View, request: web.Request) -> web.Response:
        silence = silence_seconds()
        alive = silence < STALLED_AFTER_SECONDS
        return view.json({"live": alive, "silence_seconds": round(silence, 1)}, status=200 if alive else 503)

    @app.page("/health/ready", name="ready")
    async def ready(view: web.View, request: web.Request) -> web.Response:
        reason = unready_because()
        return view.json({"ready": reason is None, "reason": reason, "hint": hint()}, status=503 if reason else 200)
