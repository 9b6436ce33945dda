"""A program of its own beside the benchmark: the lines that it says and when, its output, its peak memory."""

import asyncio
import re
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from ops.devstack.stack_env import environment_of
from ops.settings import Settings
from schemas.errors import StackError

LOOK_EVERY_SECONDS = 0.1
_PEAK = re.compile(r"^VmHWM:\s+(\d+) kB$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """What a program came to. A line on stderr stands with the seconds since the start."""

    seconds: float
    said: tuple[tuple[float, str], ...]
    output: str
    peak_megabytes: float | None
    """None where the system does not tell."""


async def run_module(settings: Settings, module: str, *arguments: str) -> Ended:
    """Run a module of ours with these settings; it is ended when this is cancelled.

    Raises:
        StackError: It failed.
    """
    started = time.monotonic()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module, *arguments),
        env=environment_of(settings),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    said: list[tuple[float, str]] = []

    async def listen(stream: asyncio.StreamReader) -> None:
        async for line in stream:
            said.append((time.monotonic() - started, line.decode().rstrip()))

    watching = asyncio.create_task(_peak_megabytes(process))
    try:
        output, _ = await asyncio.gather(process.stdout.read(), listen(process.stderr))
        code = await process.wait()
        seconds = time.monotonic() - started
        peak = await watching
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        watching.cancel()
    if code:
        last = said[-1][1] if said else "it said nothing"
        raise StackError(f"{' '.join((module, *arguments))} ended with exit code {code}: {last}")
    return Ended(seconds=seconds, said=tuple(said), output=output.decode(), peak_megabytes=peak)


async def _peak_megabytes(process: asyncio.subprocess.Process) -> float | None:
    """The last that the kernel said of the highest resident size; it never goes down."""
    peak = None
    while process.returncode is None:
        peak = _peak_by_now(process.pid) or peak
        await asyncio.sleep(LOOK_EVERY_SECONDS)
    return peak


def _peak_by_now(pid: int) -> float | None:
    try:
        found = _PEAK.search(Path(f"/proc/{pid}/status").read_text())
    except OSError:
        return None
    return int(found[1]) / 1024 if found else None
