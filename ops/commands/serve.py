"""`lockstep serve`."""

import asyncio

import typer

from ops.log_setup import set_up_logging
from ops.settings import load_settings


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(serve)


def serve() -> None:
    """Serve the dashboard and the HTTP API: the catalogue, the search, and how far the index is behind.

    It starts while Postgres, Qdrant or the broker is down, and answers with what works; `/health/ready` names the
    rest, `/docs` all there is. Until `lockstep tokens create` it is for this machine only. SIGTERM lets requests in
    flight end; a second one does not.

    Example: LOCKSTEP_API_PORT=8000 lockstep serve
    """
    from ops.serve import run_api

    settings = load_settings()
    set_up_logging(settings.log.level, settings.log.format)
    asyncio.run(run_api(settings))
