"""The image's healthcheck, `python -m ops.image.health`: asks `/health/live` of the worker or the API that runs here.

Which of them it is, the container's first process says. Any other command is healthy for as long as it runs.
"""

import ssl
import sys
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from itertools import pairwise
from pathlib import Path

from ops.settings import ApiSettings, Settings, load_settings
from schemas.errors import SettingsError

ENTRY_POINT = "lockstep"
TIMEOUT_SECONDS = 4.0
_FIRST_PROCESS = Path("/proc/1/cmdline")


def main() -> None:
    """Exit code 0 when it is live, 1 when it is not; the reason is for `docker inspect`."""
    try:
        reason = trouble(_FIRST_PROCESS.read_text().split("\0"), load_settings())
    except SettingsError as error:
        reason = str(error)
    sys.stdout.write(f"{reason or 'live'}\n")
    sys.exit(1 if reason else 0)


def trouble(arguments: list[str], settings: Settings) -> str | None:
    """Why the process with these arguments is not live; None when it is, or is neither worker nor API."""
    match _command(arguments):
        case "worker":
            worker = settings.worker
            return _ask(HTTPConnection(_near(worker.web_host), worker.web_port, timeout=TIMEOUT_SECONDS))
        case "serve":
            return _ask(_connection_to(settings.api))
        case _:
            return None


def _command(arguments: list[str]) -> str | None:
    """The one after `lockstep`: an init, or the Python that runs the script, may stand before it."""
    return next((after for name, after in pairwise(arguments) if Path(name).name == ENTRY_POINT), None)


def _near(host: str) -> str:
    """Who listens on every address is asked on loopback."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)


def _connection_to(api: ApiSettings) -> HTTPConnection:
    if api.tls_certificate is None:
        return HTTPConnection(_near(api.host), api.port, timeout=TIMEOUT_SECONDS)
    # The certificate is for the name that others know: whether it is valid is their question.
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return HTTPSConnection(_near(api.host), api.port, timeout=TIMEOUT_SECONDS, context=context)


def _ask(connection: HTTPConnection) -> str | None:
    try:
        connection.request("GET", "/health/live")
        answer = connection.getresponse()
        return None if answer.status == 200 else f"/health/live answers {answer.status}"
    except (OSError, HTTPException) as error:
        return f"/health/live does not answer: {error}"
    finally:
        connection.close()


if __name__ == "__main__":
    main()
