"""`lockstep reconcile`."""

import asyncio
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from ops.settings import Settings, load_settings
from ops.terminal import ExitCode, err, out, print_json

if TYPE_CHECKING:
    from ops.reconcile import ReconcileReport


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(reconcile)


def reconcile(json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Compare every row in Postgres with its point in Qdrant, and every point with its row.

    Reads only. A difference counts when it is still there once the pipeline has caught up. Exit code 1 when the two
    differ.

    Example: lockstep reconcile --json
    """
    report = asyncio.run(_reconcile(load_settings()))
    if json:
        print_json(asdict(report) | {"in_sync": report.in_sync})
    else:
        table = Table(box=None, pad_edge=False, show_header=False)
        table.add_column(no_wrap=True)
        table.add_column(justify="right")
        table.add_column(overflow="fold")
        table.add_row("rows", f"{report.rows:,}", "in Postgres")
        table.add_row("points", f"{report.points:,}", f"in {report.collection}")
        for name in ("missing", "orphaned", "stale", "unreadable"):
            difference = getattr(report, name)
            table.add_row(name, f"{difference.count:,}", ", ".join(difference.examples))
        out.print(table)
        out.print(f"{'in sync' if report.in_sync else 'NOT in sync'}, compared in {report.seconds} s")
    if not report.in_sync:
        raise typer.Exit(ExitCode.FOUND_WRONG)


def _say(line: str) -> None:
    err.print(line, style="dim", markup=False)


async def _reconcile(settings: Settings) -> "ReconcileReport":
    # Qdrant's client takes a second to import, which `--help` should not.
    from ops.catch_up import Pipeline
    from ops.reconcile import reconcile as compare
    from ops.stores import open_rows, open_store

    async with open_store(settings) as store, open_rows(settings) as rows, Pipeline.open(settings, _say) as pipeline:
        return await compare(rows, store, settle=pipeline.settle)
