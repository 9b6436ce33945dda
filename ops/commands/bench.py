"""`lockstep bench`: joins its commands."""

from importlib import import_module

import typer

from ops.commands import (
    bench_mixed,
    bench_peers,
    bench_pipeline,
    bench_rebuild,
    bench_reconcile,
    bench_search,
    bench_soak,
    bench_worker,
)
from ops.commands.stack import stack_installed

commands = typer.Typer(name="bench", no_args_is_help=True)

for module in (
    bench_soak,
    bench_pipeline,
    bench_mixed,
    bench_peers,
    bench_rebuild,
    bench_reconcile,
    bench_search,
    bench_worker,
):
    module.register(commands)


def register(app: typer.Typer) -> None:
    """Add the group to `lockstep`."""
    app.add_typer(commands, short_help="Put the pipeline under load and faults, and measure it.")


@commands.callback()
def bench() -> None:
    """Put the pipeline under load and faults, and measure it."""
    with stack_installed():
        import_module("platformdirs")
