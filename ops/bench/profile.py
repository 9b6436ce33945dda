"""Samples a worker from outside while it works, with py-spy, and says in which modules its time goes."""

import asyncio
import shutil
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from ops.bench.filled_table import catalogue_rows, publish_as_captured
from ops.bench.history import history
from ops.bench.one_worker import WORKER, one_worker, start_worker, until_all_applied
from ops.bench.samples import Profile, read_samples
from ops.bench.synthetic import price_updates, publish
from ops.devstack.stack import Say
from ops.settings import Settings
from schemas.errors import StackError

KEYS = 2000
SAMPLES_A_SECOND = 200
ATTACHED_WITHIN_SECONDS = 30.0
WRITTEN_WITHIN_SECONDS = 60.0
LAST_WORDS_BYTES = 300

_PROFILER = "py-spy"
_SAMPLING = b"Sampling process"
_NOT_ALLOWED = "Permission denied"


async def run_profile(
    settings: Settings, home: Path, *, records: int, embed: bool, seed: int, to: Path, say: Say
) -> Profile:
    """Profile one worker while it applies so many price updates, or with `embed` so many new rows with texts.

    Its start is not sampled, nor a warm-up of both kinds of work. The samples are written to `to` as folded stacks,
    which speedscope and flame graph programs read.

    Raises:
        LockstepError: py-spy is missing or may not look, or a part cannot be started.
    """
    profiler = find_profiler()
    async with one_worker(settings, home, say=say) as stack:
        brokers = stack.settings.kafka.brokers
        await start_worker(stack)
        say("warming up")
        await publish(brokers, price_updates(KEYS, range(KEYS)))
        await until_all_applied(stack)
        say(f"sampling {records:,} {'new rows' if embed else 'price updates'}")
        async with sampled(stack.pid(WORKER), profiler, to):
            if embed:
                await publish_as_captured(brokers, history(list(catalogue_rows(records, seed)), records, seed))
            else:
                await publish(brokers, price_updates(KEYS, range(KEYS, KEYS + records)))
            await until_all_applied(stack)
    return _read(to)


def _read(samples: Path) -> Profile:
    with samples.open() as lines:
        return read_samples(lines, samples_a_second=SAMPLES_A_SECOND)


def find_profiler() -> str:
    """Where py-spy is; beside our own interpreter first, whose environment need not be activated.

    Raises:
        StackError: It is not installed.
    """
    beside = Path(sys.executable).with_name(_PROFILER)
    found = str(beside) if beside.exists() else shutil.which(_PROFILER)
    if found is None:
        raise StackError("py-spy is not installed, and a profile is made by it", hint="pip install py-spy")
    return found


@asynccontextmanager
async def sampled(pid: int | None, profiler: str, to: Path) -> AsyncIterator[None]:
    """Sample a process for as long as the block lasts, and write the samples to `to` as folded stacks.

    Raises:
        StackError: It may not be looked into, or the samples were not written.
    """
    _make_room(to)
    process = await asyncio.create_subprocess_exec(
        *(profiler, "record", "--pid", str(pid), "--format", "raw", "--output", str(to)),
        *("--rate", str(SAMPLES_A_SECOND), "--threads", "--function"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    assert process.stdout is not None
    try:
        try:
            async with asyncio.timeout(ATTACHED_WITHIN_SECONDS):
                said = await _until_sampling(process.stdout)
        except TimeoutError as error:
            raise StackError(f"py-spy did not begin within {ATTACHED_WITHIN_SECONDS:.0f} s") from error
        if _SAMPLING not in said:
            raise _refused(said.decode(errors="replace"))
        reading = asyncio.create_task(process.stdout.read())
        yield
        if process.returncode is None:
            process.send_signal(signal.SIGINT)  # it writes what it has, and ends
        try:
            said += await asyncio.wait_for(reading, WRITTEN_WITHIN_SECONDS)
        except TimeoutError as error:
            raise StackError(f"py-spy did not end within {WRITTEN_WITHIN_SECONDS:.0f} s") from error
        await process.wait()
        if process.returncode != 0:
            raise _refused(said.decode(errors="replace"))
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def _make_room(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)


async def _until_sampling(output: asyncio.StreamReader) -> bytes:
    """What it says up to the line that tells that it samples, or to its end."""
    said = b""
    async for line in output:
        said += line
        if _SAMPLING in line:
            break
    return said


def _refused(said: str) -> StackError:
    if _NOT_ALLOWED.lower() in said.lower():
        return StackError(
            "py-spy may not look into the worker's process",
            hint="run as root, or: sudo sysctl kernel.yama.ptrace_scope=0; in a container: --cap-add SYS_PTRACE",
        )
    lines = " ".join(said.split())
    return StackError(f"py-spy took no samples: {lines[-LAST_WORDS_BYTES:] or 'it said nothing'}")
