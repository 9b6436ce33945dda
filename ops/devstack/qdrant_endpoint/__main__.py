"""Runs the endpoint: `python -m ops.devstack.qdrant_endpoint --data DIR --host 127.0.0.1 --port 6333`."""

import argparse
import asyncio
import logging
import signal
import sys
from pathlib import Path

from filelock import FileLock, Timeout

from ops.devstack.qdrant_endpoint.lean_models import skip_the_client
from schemas.errors import StackError

EXIT_CANNOT_RUN = 3
_SHUTDOWN_SECONDS = 0.5
_MAX_PORT = 65535

logger = logging.getLogger(__name__)


def main() -> int:
    """Serve until SIGTERM or SIGINT; 3 and one sentence when the data or the port cannot be had."""
    parser = argparse.ArgumentParser(prog="qdrant_endpoint", description="Qdrant Edge behind a part of Qdrant's REST.")
    parser.add_argument("--data", type=Path, required=True, help="folder that holds the collections")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=_port, default=6333)
    options = parser.parse_args()

    _log_to_stderr()
    lock = FileLock(options.data / ".lock")
    try:
        options.data.mkdir(parents=True, exist_ok=True)
        with lock.acquire(blocking=False):
            asyncio.run(_serve(options.data, options.host, options.port))
    except Timeout:
        return _cannot_run(f"{options.data} is in use by another Qdrant endpoint")
    except StackError as error:
        return _cannot_run(str(error))
    except OSError as error:
        return _cannot_run(f"cannot serve {options.data} on {options.host}:{options.port}: {error.strerror or error}")
    return 0


async def _serve(data: Path, host: str, port: int) -> None:
    stopping = asyncio.Event()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(signal_number, stopping.set)
    # Imported here: the models only after the client is out of their way, the rest once the data is ours.
    skip_the_client()
    from aiohttp import web

    from ops.devstack.qdrant_endpoint.server import build_app
    from ops.devstack.qdrant_endpoint.store import Store

    runner = web.AppRunner(build_app(Store(data)), access_log=None, shutdown_timeout=_SHUTDOWN_SECONDS)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        logger.info("qdrant endpoint serves", extra={"where": f"http://{host}:{port}"})
        await stopping.wait()
    finally:
        await runner.cleanup()


def _port(text: str) -> int:
    port = int(text)
    if not 1 <= port <= _MAX_PORT:
        raise ValueError(text)
    return port


def _log_to_stderr() -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s %(where)s", defaults={"where": ""}))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    logger.setLevel(logging.INFO)


def _cannot_run(sentence: str) -> int:
    sys.stderr.write(f"Error: {sentence}\n")
    return EXIT_CANNOT_RUN


if __name__ == "__main__":
    sys.exit(main())
