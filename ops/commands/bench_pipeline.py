"""`lockstep bench snapshot`, `latency` and `payload`: the pipeline from Postgres, or from the topic, to Qdrant."""

from functools import partial
from typing import Annotated

import typer

from ops.commands.bench_frame import JsonOption, RoundsOption, SeedOption, measure, say, show


def register(commands: typer.Typer) -> None:
    """Add the commands to `lockstep bench`."""
    commands.command("snapshot")(snapshot)
    commands.command("latency")(latency)
    commands.command("payload")(payload)


def snapshot(
    rows: Annotated[int, typer.Option(min=20, help="Products in the catalogue.")] = 3000,
    rounds: RoundsOption = 3,
    seed: SeedOption = 1,
    json: JsonOption = False,
) -> None:
    """Measure how fast a catalogue becomes searchable, beside the model alone on its texts.

    It starts a new stack for each round in LOCKSTEP_HOME/bench, on free ports, and stops it.

    Example: lockstep bench snapshot --rows 500 --rounds 1
    """
    from ops.bench.snapshot import run_snapshot

    show(measure(partial(run_snapshot, rows=rows, rounds=rounds, seed=seed, say=say)), json=json)


def latency(
    rows: Annotated[int, typer.Option(min=200, help="Products in the catalogue.")] = 2000,
    seconds: Annotated[float, typer.Option(min=5, help="For each rate; twice as many at 1 a second.")] = 20.0,
    rounds: RoundsOption = 3,
    seed: SeedOption = 1,
    json: JsonOption = False,
) -> None:
    """Measure the time from a commit to a reader at 1, 10 and 100 changes a second, and by stage.

    It starts a stack of its own in LOCKSTEP_HOME/bench, on free ports, and stops it.

    Example: lockstep bench latency --rows 500 --seconds 10 --rounds 1
    """
    from ops.bench.latency import run_latency

    report = measure(partial(run_latency, rows=rows, seconds=seconds, rounds=rounds, seed=seed, say=say))
    show(report, json=json)


def payload(
    records: Annotated[int, typer.Option(min=2000, help="Price updates in each round.")] = 20_000,
    rounds: RoundsOption = 3,
    json: JsonOption = False,
) -> None:
    """Measure price-only changes a second: one worker with the fan-out and without, and two workers.

    It starts a stack of its own in LOCKSTEP_HOME/bench, on free ports, and stops it.

    Example: lockstep bench payload --records 10000 --rounds 3
    """
    from ops.bench.payload import run_payload

    show(measure(partial(run_payload, records=records, rounds=rounds, say=say)), json=json)
