"""`lockstep status`."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated

import typer
from rich.live import Live
from rich.text import Text

from ops.settings import Settings, load_settings
from ops.status.limits import Level
from ops.terminal import ExitCode, out, print_json

if TYPE_CHECKING:
    from ops.status.report import SyncStatus

REDRAW_SECONDS = 2.0
SECOND_LOOK_SECONDS = 3.0
"""When changes wait: whether they are being worked off shows at a second look only."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(status)


def status(
    watch: Annotated[bool, typer.Option("--watch", help="Again and again, until Ctrl-C.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON, as GET /sync/status of the API.")] = False,
) -> None:
    """Show how every part of the pipeline stands: green, amber or red, with the reason and what helps.

    Exit code 1 when a part is red, or cannot be asked; 3 when none at all can be. The thresholds are settings:
    LOCKSTEP_STATUS_….

    Example: lockstep status --watch
    """
    if watch and json:
        raise typer.BadParameter("--json prints one document: leave --watch away")
    settings = load_settings()
    if watch:
        try:
            asyncio.run(_watch(settings))
        except KeyboardInterrupt:
            raise typer.Exit from None  # the usual end of --watch
        return
    found = asyncio.run(_once(settings))
    if json:
        print_json(found.model_dump(mode="json"))
    else:
        from ops.commands.status_views import StatusPage

        out.print(StatusPage(found))
    raise typer.Exit(exit_code(found))


def exit_code(found: "SyncStatus") -> ExitCode:
    """What the status tells the caller."""
    if found.nothing_answers:
        return ExitCode.UNREACHABLE
    return ExitCode.FOUND_WRONG if found.level is Level.RED else ExitCode.DONE


Look = Callable[[], Awaitable["SyncStatus"]]


@asynccontextmanager
async def looking(settings: Settings) -> AsyncIterator[Look]:
    """A function that asks every part, and knows what it saw the time before; it keeps its connections meanwhile."""
    from connectors.kafka import KafkaAdmin
    from ops.stores import open_rows, open_store
    from ops.sync_status import sync_status

    async with (
        open_rows(settings, connect_now=False) as rows,
        open_store(settings) as store,
        KafkaAdmin(settings.kafka.brokers) as admin,
    ):
        before: SyncStatus | None = None

        async def look() -> "SyncStatus":
            nonlocal before
            before = await sync_status(settings, rows, store, admin, before=before)
            return before

        yield look


async def _once(settings: Settings) -> "SyncStatus":
    async with looking(settings) as look:
        found = await look()
        if found.lag is not None and found.lag.lag_records:
            await asyncio.sleep(SECOND_LOOK_SECONDS)
            found = await look()
    return found


async def _watch(settings: Settings) -> None:
    from ops.commands.status_views import StatusPage, changes

    async with looking(settings) as look:
        if out.is_terminal:
            with Live(Text("asking every part", style="dim"), console=out, auto_refresh=False) as live:
                async for _, found in _again_and_again(look):
                    live.update(StatusPage(found), refresh=True)
        else:
            async for before, found in _again_and_again(look):
                for line in changes(before, found):
                    out.print(line, markup=False, soft_wrap=True)


async def _again_and_again(look: Look) -> AsyncIterator[tuple["SyncStatus | None", "SyncStatus"]]:
    """The look before, and each look; a new one begins every two seconds, or once the one before has its answers."""
    loop = asyncio.get_running_loop()
    before: SyncStatus | None = None
    while True:
        due = loop.time() + REDRAW_SECONDS
        found = await look()
        yield before, found
        before = found
        await asyncio.sleep(max(0.0, due - loop.time()))
