"""`lockstep bench`."""

import asyncio
from dataclasses import asdict
from random import SystemRandom
from statistics import median
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from ops.log_setup import set_up_logging
from ops.settings import load_settings
from ops.terminal import ExitCode, err, out, print_json

if TYPE_CHECKING:
    from ops.bench.soak import SoakReport

MAX_SEED = 1_000_000
RECORDS_A_ROW = 300_000 / 106_000
"""Of a catalogue that has lived: a snapshot, then changes, most of them of a price."""

commands = typer.Typer(name="bench", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the group to `lockstep`."""
    app.add_typer(commands, short_help="Put the pipeline under load and faults.")


@commands.callback()
def bench() -> None:
    """Put the pipeline under load and faults."""


@commands.command("soak")
def soak(
    seed: Annotated[int | None, typer.Option(min=0, help="Of changes and faults; random by default.")] = None,
    minutes: Annotated[float, typer.Option(min=0.1, max=1440, help="How long to write and to break.")] = 10.0,
    workers: Annotated[int, typer.Option(min=1, max=5, help="Beside one that comes and goes.")] = 2,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
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
        asyncio.run(run_soak(settings, home, report, _say))
    if json:
        print_json(asdict(report) | {"passed": report.passed})
    else:
        _print(report)
    if not report.passed:
        err.print(f"see {home / 'logs'} and {home / 'trail'}", markup=False)
        raise typer.Exit(ExitCode.FOUND_WRONG)


@commands.command("payload")
def payload(
    records: Annotated[int, typer.Option(min=2000, help="Price updates in each round.")] = 20_000,
    rounds: Annotated[int, typer.Option(min=1, help="Of each kind, in turn.")] = 3,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure price-only changes a second through one worker, with the fan-out and without.

    It starts a stack of its own in LOCKSTEP_HOME/bench, on free ports, and stops it.

    Example: lockstep bench payload --records 10000 --rounds 3
    """
    from ops.bench.payload import run_payload
    from ops.devstack.alone import alone

    settings = load_settings()
    home = settings.home / "bench"
    with alone(home, "bench"):
        report = asyncio.run(run_payload(settings, home, records=records, rounds=rounds, say=_say))
    if json:
        print_json(asdict(report) | {"fanout_cost": round(report.fanout_cost, 3)})
        return
    table = Table("records a second", "median", "rounds", box=None, pad_edge=False)
    for name, rates in (("with the fan-out", report.with_fanout), ("without", report.without_fanout)):
        table.add_row(name, f"{median(rates):,.0f}", ", ".join(f"{rate:,.0f}" for rate in rates))
    out.print(table)
    out.print(f"the fan-out takes {100 * report.fanout_cost:.0f} % of the rate")


@commands.command("rebuild")
def rebuild(
    rows: Annotated[int, typer.Option(min=500, help="Products in the catalogue.")] = 106_000,
    records: Annotated[
        int | None, typer.Option(help="On the topic; by default 2.83 a row.", show_default=False)
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Of each kind, in turn.")] = 3,
    seed: Annotated[int, typer.Option(min=0, help="Of rows, changes and vectors.")] = 1,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure rebuilds beside what Qdrant and the model do alone, and beside live changes.

    It starts stacks of its own in LOCKSTEP_HOME/bench, on free ports, and stops them.

    Example: lockstep bench rebuild --rows 2000 --rounds 1
    """
    from ops.bench.machine import describe_machine
    from ops.bench.rebuild import run_rebuild_bench
    from ops.bench.rebuild_report import ratios, tables
    from ops.devstack.alone import alone

    settings = load_settings()
    set_up_logging("WARNING", "text")
    records = round(rows * RECORDS_A_ROW) if records is None else records
    if records < rows:
        raise typer.BadParameter("every row is a record: give no fewer records than rows")
    home = settings.home / "bench"
    with alone(home, "bench"):
        report = asyncio.run(
            run_rebuild_bench(settings, home, rows=rows, records=records, rounds=rounds, seed=seed, say=_say)
        )
    if json:
        print_json(asdict(report) | {"ratios": ratios(report), "machine": describe_machine()})
        return
    for table in tables(report):
        out.print(table)


@commands.command("search")
def search(
    rows: Annotated[int, typer.Option(min=100, help="Products in the catalogue.")] = 106_000,
    rounds: Annotated[int, typer.Option(min=1, help="Of each kind, in turn.")] = 3,
    seconds: Annotated[float, typer.Option(min=0.5, help="For each figure, in each round.")] = 5.0,
    seed: Annotated[int, typer.Option(min=0, help="Of rows, vectors and texts.")] = 1,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure hybrid searches through the API beside bare requests to Qdrant.

    It starts a stack of its own in LOCKSTEP_HOME/bench, on free ports, and stops it. Its Qdrant is the endpoint of
    `lockstep up`: the engine in one process, without an approximate index, so that a search looks at every point.

    Example: lockstep bench search --rows 5000 --rounds 1 --seconds 2
    """
    from ops.bench.machine import describe_machine
    from ops.bench.search import run_search_bench
    from ops.devstack.alone import alone

    settings = load_settings()
    set_up_logging("WARNING", "text")
    home = settings.home / "bench"
    with alone(home, "bench"):
        report = asyncio.run(
            run_search_bench(settings, home, rows=rows, rounds=rounds, seconds=seconds, seed=seed, say=_say)
        )
    if json:
        print_json({"rows": rows, "seed": seed, "figures": report.figures(), "machine": describe_machine()})
    else:
        out.print(report.table())


def _say(line: str) -> None:
    err.print(line, style="dim", markup=False)


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
