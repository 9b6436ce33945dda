"""Kafka Connect's REST: put a connector there, see how it runs, restart it, take it away."""

import asyncio
import logging
from dataclasses import dataclass
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import aiohttp
import orjson
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

from connectors.debezium.failures import failure_hint, failure_reason
from schemas.errors import BrokerError, ErrorKind

logger = logging.getLogger(__name__)

UNREACHABLE_HINT = "start the stack with `lockstep up`, or set LOCKSTEP_CONNECT_URL"

RUNNING = "RUNNING"
FAILED = "FAILED"

_POLL_SECONDS = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskStatus:
    """One task; `trace` is Java's stack trace when it failed."""

    id: int
    state: str
    worker: str
    trace: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectorStatus:
    """How a connector runs, in Connect's words. RUNNING is no proof of health: it stays so while Postgres is down."""

    name: str
    state: str
    worker: str
    trace: str | None
    tasks: tuple[TaskStatus, ...]

    @property
    def running(self) -> bool:
        """The connector runs, and so do all of its tasks, of which there is one at least."""
        return self.state == RUNNING and bool(self.tasks) and all(task.state == RUNNING for task in self.tasks)

    @property
    def failed(self) -> bool:
        """The connector or one of its tasks has stopped for good; only a restart helps."""
        return FAILED in (self.state, *(task.state for task in self.tasks))

    @property
    def failure(self) -> str | None:
        """The trace of what failed, the connector's own first."""
        traces = [self.trace, *(task.trace for task in self.tasks if task.state == FAILED)]
        return next((trace for trace in traces if trace), "") if self.failed else None


class _RebalancingError(Exception):
    """Connect answers 409 while its workers share the work out anew."""


class ConnectClient:
    """One Connect cluster by its REST address; an async context manager.

    Every method raises `BrokerError`: transient when Connect cannot be reached or does not answer in time, an outage
    when it refuses. A 409, as in a rebalance, is tried again for `patience_seconds`.
    """

    def __init__(self, url: str, *, timeout_seconds: float = 30.0, patience_seconds: float = 60.0) -> None:
        self._url = url.rstrip("/")
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds)
        self._patience_seconds = patience_seconds
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        # Connect answers 415 to a POST without a body unless it is said to be JSON.
        headers = {"Content-Type": "application/json"}
        self._session = aiohttp.ClientSession(timeout=self._timeout, headers=headers)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def apply(self, name: str, config: dict[str, str]) -> bool:
        """Create the connector or change its configuration; whether it is new. Repeating it changes nothing."""
        status, _ = await self._request(f"apply connector {name}", "PUT", f"/{quote(name)}/config", config)
        logger.info("connector applied", extra={"action": "connector_applied", "connector": name})
        return status == HTTPStatus.CREATED

    async def status(self, name: str) -> ConnectorStatus | None:
        """How it runs, or None when Connect does not know it (yet)."""
        status, body = await self._request(
            f"see connector {name}", "GET", f"/{quote(name)}/status", missing_is_fine=True
        )
        return None if status == HTTPStatus.NOT_FOUND else _status(body)

    async def restart(self, name: str, *, only_failed: bool = False) -> None:
        """Restart connector and tasks; it returns once Connect has accepted, before they run.

        One that somebody paused or stopped is resumed, which a restart alone does not do; not with `only_failed`.
        """
        if not only_failed:
            await self._request(f"resume connector {name}", "PUT", f"/{quote(name)}/resume")
        flag = str(only_failed).lower()
        path = f"/{quote(name)}/restart?includeTasks=true&onlyFailed={flag}"
        await self._request(f"restart connector {name}", "POST", path)

    async def remove(self, name: str) -> bool:
        """Take it away; False when there was none. Slot, publication, topics and Connect's offsets stay behind."""
        status, _ = await self._request(f"remove connector {name}", "DELETE", f"/{quote(name)}", missing_is_fine=True)
        return status != HTTPStatus.NOT_FOUND

    async def wait_until_running(
        self, name: str, timeout_seconds: float = 60.0, *, settle_seconds: float = 1.5, stale_seconds: float = 4.0
    ) -> ConnectorStatus:
        """Wait until the connector and its tasks run, and have done so for `settle_seconds`.

        Debezium reports RUNNING before it looks at publication and slot, and fails a moment later. And after a restart
        Connect goes on showing the failure of the life before: it counts once it has stood for `stale_seconds`, or at
        once when another state was seen before it.

        Raises:
            BrokerError: A task failed (the message has the reason, the hint what to do), or time is up.
        """
        loop = asyncio.get_running_loop()
        status: ConnectorStatus | None = None
        since = loop.time()
        lives = 0
        try:
            async with asyncio.timeout(timeout_seconds):
                while not (status and status.running and loop.time() - since >= settle_seconds):
                    if status and status.failed and (lives > 1 or loop.time() - since >= stale_seconds):
                        raise _failed(status)
                    await asyncio.sleep(_POLL_SECONDS)
                    before, status = status, await self.status(name)
                    if status != before:
                        since, lives = loop.time(), lives + 1
        except TimeoutError as error:
            if status and status.failed:
                raise _failed(status) from error
            seen = _states(status) if status else "unknown to Connect"
            raise BrokerError(
                f"connector {name} does not run after {timeout_seconds:g} s: {seen}",
                hint="see Connect's log, with `lockstep logs connect` for the stack without Docker",
            ) from error
        return status

    async def _request(
        self,
        operation: str,
        method: str,
        path: str,
        body: dict[str, str] | None = None,
        *,
        missing_is_fine: bool = False,
    ) -> tuple[int, Any]:
        retrying = AsyncRetrying(
            retry=retry_if_exception_type(_RebalancingError),
            wait=wait_random_exponential(multiplier=0.2, max=5.0),
            stop=stop_after_delay(self._patience_seconds),
            reraise=True,
        )
        try:
            return await retrying(self._send, operation, method, path, body, missing_is_fine)
        except _RebalancingError as error:
            raise BrokerError(f"cannot {operation}: Connect is rebalancing") from error
        except (aiohttp.ClientError, TimeoutError) as error:
            reason = str(error) or "timed out"
            raise BrokerError(f"cannot reach Kafka Connect at {self._url}: {reason}", hint=UNREACHABLE_HINT) from error

    async def _send(
        self, operation: str, method: str, path: str, body: dict[str, str] | None, missing_is_fine: bool
    ) -> tuple[int, Any]:
        if self._session is None:
            raise RuntimeError("use ConnectClient with `async with`")
        async with self._session.request(method, f"{self._url}/connectors{path}", json=body) as response:
            content = await response.read()
            if response.status == HTTPStatus.CONFLICT:
                raise _RebalancingError
            if response.status < HTTPStatus.BAD_REQUEST or (
                response.status == HTTPStatus.NOT_FOUND and missing_is_fine
            ):
                return response.status, _json(content)
            raise _refused(operation, response.status, content)


def _json(content: bytes) -> Any:
    try:
        return orjson.loads(content) if content else {}
    except orjson.JSONDecodeError as error:
        raise _foreign() from error


def _foreign() -> BrokerError:
    return BrokerError("what answers is not Kafka Connect", kind=ErrorKind.OUTAGE, hint="check LOCKSTEP_CONNECT_URL")


def _refused(operation: str, status: int, content: bytes) -> BrokerError:
    """Connect's own words: for a bad configuration it lists the errors line by line and ends with advice."""
    try:
        message = str(orjson.loads(content)["message"])
    except (orjson.JSONDecodeError, KeyError, TypeError):
        message = content.decode(errors="replace")
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    told = [line for line in lines if not line.startswith(("Connector configuration is invalid", "You can also find"))]
    kind = ErrorKind.TRANSIENT if status >= HTTPStatus.INTERNAL_SERVER_ERROR else ErrorKind.OUTAGE
    reason = "; ".join(told or lines)[:500] or "no reason given"
    return BrokerError(f"cannot {operation}: {reason} (HTTP {status})", kind=kind, hint=failure_hint(message))


def _failed(status: ConnectorStatus) -> BrokerError:
    trace = status.failure or ""
    return BrokerError(
        f"connector {status.name} failed: {failure_reason(trace)}",
        kind=ErrorKind.OUTAGE,
        hint=failure_hint(trace) or "see the whole trace with `lockstep connector status`",
    )


def _states(status: ConnectorStatus) -> str:
    tasks = ", ".join(f"task {task.id} {task.state}" for task in status.tasks) or "no task yet"
    return f"{status.state}, {tasks}"


def _status(body: Any) -> ConnectorStatus:
    try:
        connector = body["connector"]
        return ConnectorStatus(
            name=body["name"],
            state=connector["state"],
            worker=connector.get("worker_id", ""),
            trace=connector.get("trace"),
            tasks=tuple(
                TaskStatus(
                    id=task["id"], state=task["state"], worker=task.get("worker_id", ""), trace=task.get("trace")
                )
                for task in body["tasks"]
            ),
        )
    except (KeyError, TypeError) as error:
        raise _foreign() from error
