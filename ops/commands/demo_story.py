"""What `lockstep demo` prints around its story."""

import asyncio
import signal

import typer
from rich.table import Table

from ops.commands.stack import fetch_progress, stack_installed
from ops.demo.report import DemoReport
from ops.settings import Settings
from ops.terminal import ExitCode, err, out

REPORT = "demo-report.json"


def tell(settings: Settings, *, compose: bool = False) -> None:
    """Run the demo, print the closing table, write the report."""
    with stack_installed():
        from ops.demo.compose_stage import ComposeStage
        from ops.demo.stack_stage import StackStage
        from ops.demo.story import run_demo
        from ops.devstack.alone import alone
        from ops.devstack.stack import Stack

    home = settings.home / ("compose-demo" if compose else "demo")

    async def run() -> DemoReport:
        # Ctrl-C cancels the task; so must a SIGTERM, or servers would stay behind.
        task = asyncio.current_task()
        if task is not None:
            for number in (signal.SIGTERM, signal.SIGHUP):
                asyncio.get_running_loop().add_signal_handler(number, task.cancel)
        with alone(home, "demo"):
            if compose:
                return await run_demo(ComposeStage(settings, home, _whisper), out)
            stack = Stack(settings, home, workers=1, say=_whisper, progress=fetch_progress)
            return await run_demo(StackStage(stack, _whisper), out)

    try:
        report = asyncio.run(run())
    except (KeyboardInterrupt, asyncio.CancelledError):
        err.print("interrupted: everything that was started is stopped")
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    path = settings.home / REPORT
    report.write(path)
    out.print(_closing(report))
    out.print(f"\nThe figures: {path}", soft_wrap=True)
    if report.problems:
        for problem in report.problems:
            err.print(f"[red]✗[/red] {problem}")
        raise typer.Exit(ExitCode.FOUND_WRONG)


def _whisper(line: str) -> None:
    # On the console of the progress bars, which then make room for the line.
    out.print(f"  {line}", style="dim", soft_wrap=True, markup=False)


def _closing(report: DemoReport) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 3, 0, 0))
    table.add_column(justify="right")
    table.add_column()
    rows = [
        (f"{report.documents_per_second:,.0f}", "documents a second, snapshot to searchable"),
        (f"{report.raw_embedding_documents_per_second:,.0f}", "documents a second by the model alone"),
        (f"{report.price_update_ms:.0f} ms", "until a search shows a new price"),
        (f"{report.text_update_ms:.0f} ms", "until a search shows a new text"),
        (f"{report.embeddings_made:,}", "embeddings made"),
        (f"{report.embeddings_avoided:,}", "embeddings avoided"),
        (f"{report.dead_letters:,}", "dead letters"),
        (f"{report.missing + report.orphaned + report.stale:,}", "differences between Postgres and Qdrant"),
    ]
    for figure, meaning in rows:
        table.add_row(f"[bold]{figure}[/bold]", meaning)
    return table
