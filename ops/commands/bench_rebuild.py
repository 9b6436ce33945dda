"""`lockstep bench rebuild`."""

from dataclasses import asdict
from functools import partial
from typing import Annotated

import typer

from ops.commands.bench_frame import JsonOption, RoundsOption, SeedOption, measure, say
from ops.terminal import out, print_json

RECORDS_A_ROW = 300_000 / 106_000
"""Of a catalogue that has lived: a snapshot, then changes, most of them of a price."""


def register(commands: typer.Typer) -> None:
    """Add the command to `lockstep bench`."""
    commands.command("rebuild")(rebuild)


def rebuild(
    rows: Annotated[int, typer.Option(min=500, help="Products in the catalogue.")] = 106_000,
    records: Annotated[
        int | None, typer.Option(help="On the topic; by default 2.83 a row.", show_default=False)
    ] = None,
    rounds: RoundsOption = 3,
    seed: SeedOption = 1,
    json: JsonOption = False,
) -> None:
    """Measure rebuilds beside what Qdrant and the model do alone, and beside live changes.

    It starts stacks of its own in LOCKSTEP_HOME/bench, on free ports, and stops them.

    Example: lockstep bench rebuild --rows 2000 --rounds 1
    """
    from ops.bench.machine import describe_machine
    from ops.bench.rebuild import run_rebuild_bench
    from ops.bench.rebuild_report import ratios, tables

    records = round(rows * RECORDS_A_ROW) if records is None else records
    if records < rows:
        raise typer.BadParameter("every row is a record: give no fewer records than rows")
    report = measure(partial(run_rebuild_bench, rows=rows, records=records, rounds=rounds, seed=seed, say=say))
    if json:
        print_json(asdict(report) | {"ratios": ratios(report), "machine": describe_machine()})
        return
    for table in tables(report):
        out.print(table)
