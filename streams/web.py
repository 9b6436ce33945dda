"""The pages of a worker's own web: its state as JSON, as metrics and for people, and the two health checks."""

from collections.abc import Callable
from datetime import UTC, datetime

import faust
from faust import web
from prometheus_client.exposition import choose_encoder

from streams import pipeline_page
from streams.worker_metrics import worker_registry
from streams.worker_state import WorkerState

STALLED_AFTER_SECONDS = 60.0


def register_pages(
    app: faust.App,
    *,
    state: Callable[[], WorkerState],
    silence_seconds: Callable[[], float],
) -> None:
    """Add `/`, `/metrics`, `/pipeline/`, `/health/live` and `/health/ready`; none of them waits for anything.

    They answer from the start on, before any assignment. Ready means that the worker has its partitions and its table
    and holds nothing. An idle worker asks nobody, so it stays ready while Qdrant is down: the next change tells.
    """
    registry = worker_registry(state)

    @app.page("/", name="stats")
    async def index(view: web.View, request: web.Request) -> web.Response:
        return view.json(state().as_dict())

    @app.page("/metrics", name="metrics")
    async def metrics(view: web.View, request: web.Request) -> web.Response:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return view.bytes(encode(registry), headers={"Content-Type": content_type})

    @app.page("/pipeline/", name="pipeline")
    async def pipeline(view: web.View, request: web.Request) -> web.Response:
        return view.html(pipeline_page.render(state(), datetime.now(UTC)), headers=dict(pipeline_page.HEADERS))

    for name, content_type in pipeline_page.ASSETS.items():
        _register_asset(app, name, content_type)

    @app.page("/health/live", name="live")
    async def live(view: web.View, request: web.Request) -> web.Response:
        silence = silence_seconds()
        alive = silence < STALLED_AFTER_SECONDS
        return view.json({"live": alive, "silence_seconds": round(silence, 1)}, status=200 if alive else 503)

    @app.page("/health/ready", name="ready")
    async def ready(view: web.View, request: web.Request) -> web.Response:
        now = state()
        reason = now.unready_because
        answer = {"ready": reason is None, "reason": reason, "hint": now.health.held_hint}
        return view.json(answer, status=503 if reason else 200)


def _register_asset(app: faust.App, name: str, content_type: str) -> None:
    text = pipeline_page.asset(name)

    @app.page(f"/pipeline/{name}", name=f"pipeline_{name}")
    async def serve(view: web.View, request: web.Request) -> web.Response:
        return view.text(text, content_type=content_type, headers=dict(pipeline_page.HEADERS))
