"""How a worker ends: at once, without another step of the event loop, so that nothing more is acknowledged."""

import logging
import os
import sys
import threading
from typing import NoReturn

from ops.terminal import ExitCode
from schemas.errors import BrokerError, LockstepError, SettingsError

logger = logging.getLogger(__name__)

UNKNOWN_ERROR_EXIT_CODE = 70
"""`EX_SOFTWARE`: the supervisor restarts us, and what was not acknowledged comes again."""


def end(code: int) -> NoReturn:
    """End the process; the log is written out."""
    for handler in logging.getLogger().handlers:
        handler.flush()
    sys.stderr.flush()
    os._exit(code)


def stop_at_once(reason: str, code: int = UNKNOWN_ERROR_EXIT_CODE) -> NoReturn:
    """End the process because something is wrong."""
    logger.critical("worker ends", extra={"action": "worker_exit", "reason": reason})
    end(code)


def stop_for(error: LockstepError) -> NoReturn:
    """End the process for an error that we know, with the exit code that stands for it."""
    reason = f"{error}; try: {error.hint}" if error.hint else str(error)
    match error:
        case SettingsError():
            stop_at_once(reason, ExitCode.USAGE)
        case BrokerError():
            stop_at_once(reason, ExitCode.UNREACHABLE)
        case _:
            stop_at_once(reason)


def end_with_any_thread() -> None:
    """From now on the process ends when one of its threads dies: without its consumer, Faust would stay up idle."""

    def stop(died: threading.ExceptHookArgs) -> None:
        name = died.thread.name if died.thread else "a thread"
        stop_at_once(f"{name} died: {died.exc_type.__name__}: {died.exc_value}")

    threading.excepthook = stop
