"""`lockstep bench memory`, `restart`, `growth`, `profile` and `quick`: one worker, looked at closely."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from ops.commands.bench_frame import JsonOption, RoundsOption, SeedOption, measure, say, show
from ops.settings import load_settings
from ops.terminal import err, out, print_json

MIN_GROWTH_ROWS = 100


def register(commands: typer.Typer) -> None:
    """Add the commands to `lockstep bench`."""
    for command in (memory, restart, growth, profile, quick):
        commands.command()(command)


def memory(
    keys: Annotated[
        list[int] | None,
        typer.Option(min=0, help="In the table; repeat it. By default 0, 106,000 and 1,000,000.", show_default=False),
    ] = None,
    rows: Annotated[int, typer.Option(min=1, help="Changed in each round, by two records each.")] = 2000,
    rounds: RoundsOption = 3,
    seed: SeedOption = 1,
    json: JsonOption = False,
) -> None:
    """Measure what a worker holds in memory, when it is ready and after it has worked.

    The table is filled through its changelog. It starts stacks of its own in LOCKSTEP_HOME/bench, on free ports, and
    stops them.

    Example: lockstep bench memory --keys 0 --keys 20000 --rounds 1
    """
    from ops.bench.memory import run_memory

    sizes = keys or [0, 106_000, 1_000_000]
    show(measure(partial(run_memory, keys=sizes, rows=rows, rounds=rounds, seed=seed, say=say)), json=json)


def restart(
    keys: Annotated[int, typer.Option(min=0, help="In the table.")] = 106_000,
    rounds: RoundsOption = 3,
    seed: SeedOption = 1,
    json: JsonOption = False,
) -> None:
    """Measure how soon a worker that was killed, or told to stop, is back: ready, and with its first change applied.

    The table is filled through its changelog. It starts a stack of its own in LOCKSTEP_HOME/bench, on free ports, and
    stops it.

    Example: lockstep bench restart --keys 20000 --rounds 1
    """
    from ops.bench.restart import run_restart

    show(measure(partial(run_restart, keys=keys, rounds=rounds, seed=seed, say=say)), json=json)


def growth(
    rows: Annotated[
        list[int] | None,
        typer.Option(
            min=MIN_GROWTH_ROWS,
            help="Of the catalogue; repeat it. By default 5,000, 15,000, 45,000.",
            show_default=False,
        ),
    ] = None,
    changes: Annotated[int, typer.Option(min=2000, help="Of a price, in each round.")] = 6000,
    rounds: RoundsOption = 3,
    seed: SeedOption = 1,
    json: JsonOption = False,
) -> None:
    """Measure how recovery, memory, a change, reconcile and rebuild grow with the catalogue, with their exponents.

    It starts stacks of its own in LOCKSTEP_HOME/bench, on free ports, and stops them.

    Example: lockstep bench growth --rows 1000 --rows 4000 --rounds 1
    """
    from ops.bench.growth import run_growth

    sizes = rows or [5000, 15_000, 45_000]
    if len(set(sizes)) < 2:
        raise typer.BadParameter("give two different numbers at least", param_hint="--rows")
    show(measure(partial(run_growth, keys=sizes, changes=changes, rounds=rounds, seed=seed, say=say)), json=json)


def profile(
    records: Annotated[
        int | None, typer.Option(min=100, help="By default 30,000; with --embed 3,000.", show_default=False)
    ] = None,
    embed: Annotated[bool, typer.Option("--embed", help="New rows, whose texts are embedded.")] = False,
    seed: SeedOption = 1,
    json: JsonOption = False,
) -> None:
    """Sample one worker with py-spy while it applies price updates, and print where its time goes by module.

    The samples stay in LOCKSTEP_HOME/bench as folded stacks, which speedscope.app opens. py-spy comes with the extra
    `bench`, and needs the right to trace a process. A stack of its own runs there meanwhile, on free ports.

    Example: lockstep bench profile --records 10000
    """
    from ops.bench.profile import run_profile

    to = load_settings().home / "bench" / f"profile-{'embed' if embed else 'payload'}.folded"
    count = records or (3000 if embed else 30_000)
    found = measure(partial(run_profile, records=count, embed=embed, seed=seed, to=to, say=say))
    if json:
        print_json({"records": count, "embed": embed, "samples": str(to), **found.as_dict()})
        return
    for table in found.tables():
        out.print(table)
    err.print(f"samples: {to}", markup=False, soft_wrap=True)


def quick(
    history: Annotated[
        Path | None, typer.Option(help="Append the ratios to this file, and print its last ten.")
    ] = None,
    revision: Annotated[str, typer.Option(help="Of the code, for the history.")] = "",
    texts: Annotated[int, typer.Option(min=10, help="New rows in each round.")] = 500,
    changes: Annotated[int, typer.Option(min=1000, help="Of a price, in each round.")] = 6000,
    rounds: RoundsOption = 3,
    seed: SeedOption = 1,
    json: JsonOption = False,
) -> None:
    """Measure in about a minute what one worker does by what its parts do alone, and compare with former runs.

    Only ratios, so that machines can be compared. It never fails for one. It starts a stack of its own in
    LOCKSTEP_HOME/bench, on free ports, and stops it.

    Example: lockstep bench quick --history bench-history.jsonl --revision 1a2b3c4d
    """
    from ops.bench.quick import run_quick
    from ops.bench.trend import Run, keep, table

    report = measure(partial(run_quick, texts=texts, changes=changes, rounds=rounds, seed=seed, say=say))
    show(report, json=json)
    if history:
        runs = keep(history, Run.of(report, revision))
        if not json:
            out.print(table(runs))
