"""What `lockstep demo subscribers` prints: the lines of each subscriber, and how far each is behind."""

import asyncio
import signal

import typer
from rich.text import Text

from ops.demo.subscribers.running import Subscribers
from ops.settings import Settings
from ops.terminal import ExitCode, err, out

LOOK_EVERY_SECONDS = 2.0


def watch(settings: Settings) -> None:
    """Run the subscribers until Ctrl-C; exit code 1 when one of them ends by itself."""
    ended = asyncio.run(_watch(settings))
    for name, code in ended.items():
        err.print(f"{name} ended with exit code {code}; start it again to go on where it was")
    if ended:
        raise typer.Exit(ExitCode.FOUND_WRONG)


async def _watch(settings: Settings) -> dict[str, int]:
    told_to_stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, told_to_stop.set)
    async with Subscribers.start(settings, _tell) as subscribers:
        for each in subscribers.running:
            _tell(each.name, f"reads {each.topic} as group {each.group}, pid {each.process.pid}")
        shown = ""
        while not told_to_stop.is_set() and not subscribers.ended():
            lag = ", ".join(f"{name} {records:,}" for name, records in (await subscribers.lag()).items())
            if lag != shown:
                out.print(f"lag in records: {lag}", style="dim", markup=False)
                shown = lag
            await _wait(told_to_stop)
        return subscribers.ended()


async def _wait(stop: asyncio.Event) -> None:
    try:
        async with asyncio.timeout(LOOK_EVERY_SECONDS):
            await stop.wait()
    except TimeoutError:
        return


def _tell(name: str, line: str) -> None:
    out.print(Text.assemble((f"{name:<13}", "bold"), line), soft_wrap=True)
