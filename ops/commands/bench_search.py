"""`lockstep bench search`."""

from functools import partial
from typing import Annotated

import typer

from ops.commands.bench_frame import JsonOption, RoundsOption, SeedOption, measure, say
from ops.terminal import out, print_json


def register(commands: typer.Typer) -> None:
    """Add the command to `lockstep bench`."""
    commands.command("search")(search)


def search(
    rows: Annotated[int, typer.Option(min=100, help="Products in the catalogue.")] = 106_000,
    rounds: RoundsOption = 3,
    seconds: Annotated[float, typer.Option(min=0.5, help="For each figure, in each round.")] = 5.0,
    seed: SeedOption = 1,
    json: JsonOption = False,
) -> None:
    """Measure hybrid searches through the API beside bare requests to Qdrant.

    It starts a stack of its own in LOCKSTEP_HOME/bench, on free ports, and stops it. Its Qdrant is the endpoint of
    `lockstep up`: the engine in one process, without an approximate index, so that a search looks at every point.

    Example: lockstep bench search --rows 5000 --rounds 1 --seconds 2
    """
    from ops.bench.machine import describe_machine
    from ops.bench.search import run_search_bench

    report = measure(partial(run_search_bench, rows=rows, rounds=rounds, seconds=seconds, seed=seed, say=say))
    if json:
        print_json({"rows": rows, "seed": seed, "figures": report.figures(), "machine": describe_machine()})
    else:
        out.print(report.table())
