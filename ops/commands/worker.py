"""`lockstep worker`."""

import typer
import uvloop

from ops.log_setup import set_up_logging
from ops.memory import collect_rarely, return_freed_memory
from ops.settings import load_settings


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(worker)


def worker() -> None:
    """Run one worker: take changes from the topic and bring Qdrant up to date.

    Run at most one a partition of the topic, each with its own LOCKSTEP_WORKER_NAME and LOCKSTEP_WORKER_WEB_PORT, under
    a supervisor that restarts it: exit code 70 is an error that it does not know, 3 a broker that does not answer.
    After 2, a setting that cannot be right or an epoch that is too low, starting it again does not help.

    Example: LOCKSTEP_WORKER_NAME=worker-2 LOCKSTEP_WORKER_WEB_PORT=6067 lockstep worker
    """
    from ops.worker import run_worker

    return_freed_memory()
    settings = load_settings()
    set_up_logging(settings.log.level, settings.log.format)
    collect_rarely()
    uvloop.run(run_worker(settings))  # a fifth faster than the loop of asyncio: a record is many small steps
