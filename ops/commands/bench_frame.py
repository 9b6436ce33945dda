"""What the commands of `lockstep bench` share: the options of a measurement, its directory and its report."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from ops.log_setup import set_up_logging
from ops.settings import Settings, load_settings
from ops.terminal import err, out, print_json

if TYPE_CHECKING:
    from ops.bench.figures import BenchReport

Report = TypeVar("Report")

RoundsOption = Annotated[int, typer.Option("--rounds", min=1, help="Of each kind, in turn.")]
SeedOption = Annotated[int, typer.Option("--seed", min=0, help="Of rows, changes and vectors.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def measure(work: Callable[[Settings, Path], Coroutine[Any, Any, Report]]) -> Report:
    """Run a scenario in LOCKSTEP_HOME/bench, where one runs at a time.

    Raises:
        LockstepError: Another one runs there, or a part of the scenario failed.
    """
    from ops.devstack.alone import alone

    settings = load_settings()
    set_up_logging("WARNING", "text")
    home = settings.home / "bench"
    with alone(home, "bench"):
        return asyncio.run(work(settings, home))


def show(report: "BenchReport", *, json: bool) -> None:
    """Print a report as tables, or as JSON."""
    if json:
        print_json(report.as_dict())
        return
    for table in report.tables():
        out.print(table)


def say(line: str) -> None:
    """Progress, on stderr."""
    err.print(line, style="dim", markup=False)
