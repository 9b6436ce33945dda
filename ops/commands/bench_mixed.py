"""`lockstep bench mixed`."""

from functools import partial
from typing import Annotated

import typer

from ops.commands.bench_frame import JsonOption, RoundsOption, SeedOption, measure, say, show


def register(commands: typer.Typer) -> None:
    """Add the command to `lockstep bench`."""
    commands.command("mixed")(mixed)


def mixed(
    rows: Annotated[int, typer.Option(min=100, help="Products in the catalogue at first.")] = 20_000,
    changes: Annotated[int, typer.Option(min=1000, help="Of these, in each round.")] = 20_000,
    rounds: RoundsOption = 3,
    seconds: Annotated[float, typer.Option(min=1, help="For the naive consumer, in each round.")] = 15.0,
    seed: SeedOption = 1,
    json: JsonOption = False,
) -> None:
    """Measure one worker beside a consumer that polls one record, embeds it, writes it and commits.

    Of the changes 90 % are of a price, 8 % of a text, 1 % inserts, 1 % deletes. Both read the same records in turn.
    It starts a stack of its own in LOCKSTEP_HOME/bench, on free ports, and stops it.

    Example: lockstep bench mixed --rows 2000 --changes 4000 --rounds 1
    """
    from ops.bench.mixed import run_mixed

    if changes * rounds > 50 * rows:
        raise typer.BadParameter("give a row for each 50 changes of all rounds: one in 100 deletes one")
    report = measure(partial(run_mixed, rows=rows, changes=changes, rounds=rounds, seconds=seconds, seed=seed, say=say))
    show(report, json=json)
