"""One worker to be measured, on a stack of its own: its start, its memory, its pace."""

import re
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import orjson

from connectors.kafka import KafkaAdmin
from ops.bench.backlog import committed_records, published_records, until_committed
from ops.bench.own_stack import own_stack
from ops.devstack.stack import Say, Stack
from ops.settings import LogSettings, Settings
from schemas.errors import StackError

WORKER = "worker-1"
SERVICES = ("kafka", "qdrant")

_MEMORY = re.compile(r"^(VmRSS|VmHWM):\s+(\d+) kB$", re.MULTILINE)
_BYTES_A_MEGABYTE = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Resident size of a process in megabytes of 1,000,000 bytes: now, and at its highest since the start."""

    now: float
    peak: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Seconds from a worker's start until it is ready, and of those for reading its table."""

    ready_seconds: float
    table_seconds: float


@asynccontextmanager
async def one_worker(
    settings: Settings, home: Path, *, say: Say, services: Sequence[str] = SERVICES
) -> AsyncIterator[Stack]:
    """The servers, prepared, and a worker that is left to the block to start; all is wiped at the end.

    Raises:
        LockstepError: A part cannot be started or prepared.
    """

    def for_workers(of_stack: Settings) -> Settings:
        return of_stack.model_copy(update={"log": LogSettings(format="json")})  # `start_worker` reads it

    stack = Stack(settings, home, services=services, workers=1, usual_ports=False, say=say, for_workers=for_workers)
    async with own_stack(stack):
        yield stack


async def start_worker(stack: Stack) -> Start:
    """Start the worker, which must not run, and wait until it is ready.

    Raises:
        StackError: It ended, or was not ready in time.
    """
    log = stack.log_file(WORKER)
    before = log.stat().st_size if log.exists() else 0
    started = time.monotonic()
    await stack.restart(WORKER)
    return Start(ready_seconds=time.monotonic() - started, table_seconds=recovery_seconds(log, before))


def memory_of_worker(stack: Stack) -> Memory:
    """What it takes.

    Raises:
        StackError: It does not run, or this system does not tell.
    """
    pid = stack.pid(WORKER)
    try:
        found = dict(_MEMORY.findall(Path(f"/proc/{pid}/status").read_text()))
        now, peak = (int(found[name]) * 1024 / _BYTES_A_MEGABYTE for name in ("VmRSS", "VmHWM"))
    except (OSError, KeyError) as error:
        raise StackError(
            f"cannot read the memory of {WORKER} from /proc/{pid}/status", hint="measure on Linux"
        ) from error
    return Memory(now=now, peak=peak)


async def until_all_applied(stack: Stack) -> None:
    """Wait until the worker has committed every record that is on the source topic now.

    Raises:
        BrokerError: It makes no progress.
    """
    async with KafkaAdmin(stack.settings.kafka.brokers) as admin:
        await until_committed(admin, await published_records(admin))


async def backlog_pace(stack: Stack) -> float:
    """Start the worker, which must not run and finds records waiting; gives how many it applies a second.

    From when it is ready: what the start takes does not count.

    Raises:
        BrokerError: It makes no progress.
        StackError: It did not start, or there were too few records.
    """
    await start_worker(stack)
    return await pace(stack)


async def pace(stack: Stack) -> float:
    """How many records a second the worker applies from now until there are none left.

    Raises:
        BrokerError: It makes no progress.
        StackError: None are left now: there were too few.
    """
    async with KafkaAdmin(stack.settings.kafka.brokers) as admin:
        published = await published_records(admin)
        left, started = published - await committed_records(admin), time.monotonic()
        if left <= 0:
            raise StackError(f"{WORKER} had applied all records before they could be timed", hint="give it more")
        await until_committed(admin, published)
    return left / (time.monotonic() - started)


def recovery_seconds(log: Path, start: int) -> float:
    """What the worker says of its last recovery, in the part of its log from `start` on."""
    with log.open("rb") as lines:
        # A log that grew too large was put aside at the start.
        lines.seek(start if log.stat().st_size >= start else 0)
        told = [line for line in lines if b'"table_recovered"' in line]
    if not told:
        raise StackError(f"{WORKER} is ready and did not say that it read its table", hint=f"see {log}")
    return float(orjson.loads(told[-1])["seconds"])
