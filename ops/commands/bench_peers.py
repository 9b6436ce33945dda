"""`lockstep bench peers`."""

import sys
from functools import partial
from typing import Annotated

import typer

from ops.commands.bench_frame import JsonOption, RoundsOption, SeedOption, measure, say, show


def register(commands: typer.Typer) -> None:
    """Add the command to `lockstep bench`."""
    commands.command("peers")(peers)


def peers(
    rows: Annotated[int, typer.Option(min=100, help="Products in the catalogue at first.")] = 1500,
    changes: Annotated[int, typer.Option(min=1000, help="Of these, in each round.")] = 3000,
    rounds: RoundsOption = 3,
    quix_python: Annotated[
        str, typer.Option(help="The python of an environment with Quix Streams.", show_default="this one")
    ] = sys.executable,
    seed: SeedOption = 1,
    json: JsonOption = False,
) -> None:
    """Measure Lockstep beside other consumers of the same records, and what each leaves wrong.

    Each is killed once in each round, and Qdrant is away for five seconds. Then its collection is compared with the
    rows that the records end in. It starts a stack of its own in LOCKSTEP_HOME/bench, on free ports, and stops it.

    Example: lockstep bench peers --rounds 1
    """
    from ops.bench.peers.scenario import run_peers

    if changes * rounds > 50 * rows:
        raise typer.BadParameter("give a row for each 50 changes of all rounds: one in 100 deletes one")
    report = measure(
        partial(run_peers, rows=rows, changes=changes, rounds=rounds, seed=seed, quix_python=quix_python, say=say)
    )
    show(report, json=json)
