"""`lockstep bench reconcile`."""

from functools import partial
from typing import Annotated

import typer

from ops.commands.bench_frame import JsonOption, RoundsOption, SeedOption, measure, say, show


def register(commands: typer.Typer) -> None:
    """Add the command to `lockstep bench`."""
    commands.command("reconcile")(reconcile)


def reconcile(
    rows: Annotated[int, typer.Option(min=100, help="Products in the catalogue.")] = 106_000,
    rounds: RoundsOption = 3,
    seed: SeedOption = 1,
    json: JsonOption = False,
) -> None:
    """Measure a reconcile that finds nothing, beside bare reads of the same points.

    It starts a stack of its own in LOCKSTEP_HOME/bench, on free ports, and stops it.

    Example: lockstep bench reconcile --rows 5000 --rounds 1
    """
    from ops.bench.reconcile import run_reconcile_bench

    show(measure(partial(run_reconcile_bench, rows=rows, rounds=rounds, seed=seed, say=say)), json=json)
