"""`lockstep up`, `down` and `logs`: the stack without Docker."""

import asyncio
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from ops.settings import Settings, load_settings, stack_env_file
from ops.terminal import ExitCode, err, out
from schemas.errors import StackError

if TYPE_CHECKING:
    from ops.devstack.stack import Stack


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(up)
    app.command()(down)
    app.command()(logs)


def up(
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Return once all is ready; it runs on.")] = False,
    workers: Annotated[int, typer.Option(min=0, max=6, help="How many workers to run.")] = 1,
) -> None:
    """Start broker, Connect, Postgres, Qdrant and workers, without Docker, and keep them until Ctrl-C.

    What runs already is left as it is. A part whose address is set (LOCKSTEP_KAFKA_BROKERS, LOCKSTEP_CONNECT_URL,
    LOCKSTEP_POSTGRES_DSN, LOCKSTEP_QDRANT_URL) is used instead of started.

    Example: lockstep up --detach --workers 2
    """
    with stack_installed():
        from ops.devstack.keeper import KeeperFiles, keep

    stack = _stack(load_settings(), workers)
    if (pid := KeeperFiles(stack.home).pid()) is not None:
        asyncio.run(_join(stack, pid))
    elif detach:
        asyncio.run(_detach(stack, workers))
    else:

        def show(started: tuple[str, ...]) -> None:
            _print_addresses(stack, started)
            out.print("Ctrl-C stops everything.")

        if not asyncio.run(keep(stack, say=_say, on_ready=show)):
            raise typer.Exit(ExitCode.INTERRUPTED)


def down(
    wipe: Annotated[bool, typer.Option("--wipe", help="Remove the stack's data and logs, too.")] = False,
) -> None:
    """Stop what `lockstep up` started, and nothing else.

    Example: lockstep down --wipe
    """
    with stack_installed():
        from ops.devstack.keeper import dismiss

    stack = _stack(load_settings(), 0)

    async def stop() -> list[str]:
        running = stack.running()
        await dismiss(stack.home)
        await stack.stop()
        return [name for name in running if not stack.is_running(name)]

    stopped = asyncio.run(stop())
    out.print(f"stopped {', '.join(stopped)}" if stopped else "nothing was running")
    if wipe:
        stack.wipe()
        out.print(f"removed the stack's data in {stack.home.path}", soft_wrap=True)


def logs(
    service: Annotated[str | None, typer.Argument(help="kafka, connect, postgres, qdrant, worker-1, … or up.")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what comes.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="How many lines of each.")] = 20,
) -> None:
    """Show the end of a service's log, or of all.

    Example: lockstep logs worker-1 --follow
    """
    directory = load_settings().home / "logs"
    found = {path.stem: path for path in sorted(directory.glob("*.log"))}
    if not found:
        raise StackError(f"there are no logs in {directory}", hint="start the stack with `lockstep up`")
    if service is not None and service not in found:
        raise typer.BadParameter(f"there is no log of {service}, only of {', '.join(found)}", param_hint="SERVICE")
    chosen = [found[service]] if service else list(found.values())
    command = ["tail", "-n", str(lines), *(["-F"] if follow else []), "--", *map(str, chosen)]
    try:
        subprocess.run(command, check=True)
    except KeyboardInterrupt:
        raise typer.Exit from None  # the usual end of --follow
    except (OSError, subprocess.CalledProcessError) as error:
        raise StackError(f"cannot read the logs in {directory}") from error


async def _join(stack: "Stack", pid: int) -> None:
    """Somebody keeps this stack: start what is missing, and show it all."""
    from ops.devstack.keeper import until_ready

    _say(f"already kept by process {pid}")
    await until_ready(stack.home, pid)
    started = await stack.start_servers()
    if started:
        await stack.prepare()
        await stack.start_capture()
    _print_addresses(stack, started)
    missing = [name for name in stack.names if not stack.is_running(name)]
    if missing:
        out.print(f"Not running: {', '.join(missing)}. To change the number of workers, run `lockstep down` first.")


async def _detach(stack: "Stack", workers: int) -> None:
    from ops.devstack.keeper import detach

    ran = set(stack.running())
    code = await detach(stack.home, ["--workers", str(workers)], _say)
    if code:
        raise typer.Exit(code)
    _print_addresses(stack, tuple(name for name in stack.names if name not in ran))
    out.print("`lockstep down` stops everything.")


def _stack(settings: Settings, workers: int) -> "Stack":
    with stack_installed():
        from ops.devstack.stack import SERVICES, Stack
        from ops.devstack.stack_env import given_services

    services = [service for service in SERVICES if service not in given_services()]
    return Stack(settings, settings.home, services=services, workers=workers, say=_say, progress=fetch_progress)


@contextmanager
def stack_installed() -> Iterator[None]:
    """Around an import of `ops.devstack`: says what to install when its packages are missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise StackError(
            f"the stack's packages are not installed: {error.name} is missing", hint="pip install 'lockstep[stack]'"
        ) from error


def _say(line: str) -> None:
    err.print(line, soft_wrap=True, markup=False)


@contextmanager
def fetch_progress(missing_bytes: int) -> Iterator[Callable[[int], None]]:
    """Show how far the Java archives are fetched; gives a function that takes the bytes as they come."""
    if not err.is_terminal:
        _say(f"fetching {missing_bytes / 1e6:.0f} MB of Java archives, once")
        yield lambda count: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(bar_width=24), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err) as bar:
        task = bar.add_task("fetching Java archives, once", total=missing_bytes)
        yield lambda count: bar.advance(task, count)


def _print_addresses(stack: "Stack", started: tuple[str, ...]) -> None:
    table = Table("part", "address", "state", box=None, pad_edge=False)
    table.columns[1].overflow = "fold"
    for name in stack.names:
        if stack.is_running(name):
            table.add_row(name, stack.address(name), "started" if name in started else "already running")
    for service, address in _given_addresses(stack.settings).items():
        if service not in stack.names:
            table.add_row(service, address, "your own")
    out.print(table)
    out.print(f"Settings for other programs: {stack_env_file(stack.home.path)}", soft_wrap=True, markup=False)
    out.print(f"Logs: {stack.home.logs}", soft_wrap=True, markup=False)


def _given_addresses(settings: Settings) -> dict[str, str]:
    dsn = urlsplit(settings.postgres.dsn.get_secret_value())
    return {
        "kafka": settings.kafka.brokers,
        "connect": settings.connect.url,
        "postgres": f"{dsn.netloc.rpartition('@')[2]}{dsn.path}",
        "qdrant": settings.qdrant.url,
    }
