"""`lockstep bench soak`."""

import asyncio
from dataclasses import asdict
from random import SystemRandom
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from ops.commands.bench_frame import JsonOption, say
from ops.log_setup import set_up_logging
from ops.settings import load_settings
from ops.terminal import ExitCode, err, out, print_json

if TYPE_CHECKING:
    from ops.bench.soak import SoakReport

MAX_SEED = 1_000_000


def register(commands: typer.Typer) -> None:
    """Add the command to `lockstep bench`."""
    commands.command("soak")(soak)


def soak(
    seed: Annotated[int | None, typer.Option(min=0, help="Of changes and faults; random by default.")] = None,
    minutes: Annotated[float, typer.Option(min=0.1, max=1440, help="How long to write and to break.")] = 10.0,
    workers: Annotated[int, typer.Option(min=1, max=5, help="Beside one that comes and goes.")] = 2,
    json: JsonOption = False,
) -> None:
    """Change rows and break parts for some minutes, then account for every record.

    It starts a stack of its own in LOCKSTEP_HOME/soak, on free ports, and stops it. Exit code 1 if a record was lost,
    a point went back, or Qdrant differs from Postgres; the stack's data and logs are then left there.

    Example: lockstep bench soak --seed 7 --minutes 3 --workers 3
    """
    from ops.bench.soak import SoakReport, run_soak
    from ops.devstack.alone import alone

    settings = load_settings()
    set_up_logging("WARNING", "text")
    report = SoakReport(
        seed=SystemRandom().randrange(MAX_SEED) if seed is None else seed, minutes=minutes, workers=workers
    )
    err.print(f"seed {report.seed}: {minutes:g} minutes with {workers} workers", highlight=False)
    home = settings.home / "soak"
    with alone(home, "soak"):
        asyncio.run(run_soak(settings, home, report, say))
    if json:
        print_json(asdict(report) | {"passed": report.passed})
    else:
        _print(report)
    if not report.passed:
        err.print(f"see {home / 'logs'} and {home / 'trail'}", markup=False)
        raise typer.Exit(ExitCode.FOUND_WRONG)


def _print(report: "SoakReport") -> None:
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(overflow="fold")
    counts = (
        ("transactions", report.transactions),
        ("faults", report.faults),
        ("bad answers of Qdrant", report.qdrant_faults),
        ("workers that ended themselves", report.worker_ends),
        ("records in the trail", report.outcomes),
        ("events for other teams", report.events),
    )
    for name, counter in counts:
        listed = ", ".join(f"{count} {what}" for what, count in sorted(counter.items()))
        table.add_row(name, f"{sum(counter.values()):,}", listed)
    table.add_row("rows at the end", f"{report.rows:,}")
    table.add_row("offsets written", f"{report.offsets:,}", f"{report.compacted:,} of them compacted away")
    table.add_row("records applied again", f"{report.repeats:,}")
    table.add_row("dead letters", f"{report.dead_letters:,}", f"for {report.poison:,} poison records")
    table.add_row("points revived for a while", f"{report.revivals:,}")
    table.add_row("articles whose last event is old", f"{report.overtaken:,}")
    table.add_row("time to drain", f"{report.drain_seconds:.1f} s")
    out.print(table)
    for finding in report.findings:
        out.print(f"[red]✗[/red] {finding.count:,} {finding.what}: {', '.join(finding.examples)}")
    if report.passed:
        out.print(f"[green]✓[/green] seed {report.seed}: every record is accounted for, Qdrant equals Postgres")
