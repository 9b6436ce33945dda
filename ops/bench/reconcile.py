"""What it costs to compare every row with its point, where nothing differs: beside bare reads of the same points."""

from dataclasses import dataclass
from pathlib import Path

import orjson
import psutil

from ops.bench.child import run_module
from ops.bench.figures import BenchReport, Figure, Ratio
from ops.bench.history import history
from ops.bench.own_stack import own_stack
from ops.bench.stand_in_vectors import fill_live_collection
from ops.bench.synthetic import publish
from ops.demo.catalogue import generate_products
from ops.devstack.stack import Say, Stack
from ops.settings import Settings
from ops.stores import open_rows
from schemas.errors import StackError

LOOK = "ops.bench.look"
RECONCILE, BARE = "reconcile", "bare"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Of one look: seconds, processor seconds of the client and of Qdrant's endpoint, the client's highest memory."""

    seconds: float
    client_cpu: float
    qdrant_cpu: float
    peak_megabytes: float


async def run_reconcile_bench(
    settings: Settings, home: Path, *, rows: int, rounds: int, seed: int, say: Say
) -> BenchReport:
    """Measure on a stack of its own: a broker, Postgres and Qdrant, whose points have random vectors.

    Raises:
        LockstepError: A part cannot be started, or the two differ.
    """
    stack = Stack(settings, home, services=("kafka", "postgres", "qdrant"), usual_ports=False, say=say)
    costs: dict[str, list[Cost]] = {RECONCILE: [], BARE: []}
    async with own_stack(stack):
        await _fill(stack.settings, rows, seed, say)
        for number in range(rounds):
            for what in (RECONCILE, BARE) if number % 2 == 0 else (BARE, RECONCILE):
                cost = await _look(stack, what)
                costs[what].append(cost)
                say(f"{what}: {cost.seconds:.1f} s, {cost.client_cpu:.1f} s of the processor")
    return report(costs, rows=rows, seed=seed)


async def _fill(settings: Settings, rows: int, seed: int, say: Say) -> None:
    say(f"putting {rows:,} rows into Postgres, on the topic and into Qdrant")
    async with open_rows(settings) as table:
        await table.copy_products(generate_products(rows, seed))
        catalogue = [row async for page in table.pages() for row in page]
    await publish(settings.kafka.brokers, history(catalogue, rows, seed))
    if (points := await fill_live_collection(settings, seed, say)) != rows:
        raise StackError(f"the live collection has {points} points of {rows} rows")


async def _look(stack: Stack, what: str) -> Cost:
    qdrant = psutil.Process(stack.pid("qdrant"))
    before = qdrant.cpu_times()
    ended = await run_module(stack.settings, LOOK, what)
    after = qdrant.cpu_times()
    did = orjson.loads(ended.output)
    if did["differences"]:
        raise StackError(f"the collection has {did['differences']} differences from Postgres")
    return Cost(
        seconds=did["seconds"],
        client_cpu=did["processor_seconds"],
        qdrant_cpu=after.user + after.system - before.user - before.system,
        peak_megabytes=ended.peak_megabytes or 0.0,
    )


def report(costs: dict[str, list[Cost]], *, rows: int, seed: int) -> BenchReport:
    """The figures of both, and one by the other."""
    figures = [
        Figure(name=f"{what}: {name}", unit=unit, values=tuple(getattr(cost, field) for cost in costs[what]))
        for what in (RECONCILE, BARE)
        for name, unit, field in (
            ("time", "s", "seconds"),
            ("CPU of the client", "s", "client_cpu"),
            ("CPU of Qdrant", "s", "qdrant_cpu"),
            ("highest memory of the client", "MiB", "peak_megabytes"),
        )
    ]
    pairs = list(zip(costs[RECONCILE], costs[BARE], strict=True))
    return BenchReport(
        scenario="reconcile",
        seed=seed,
        sizes={"rows": rows},
        figures=tuple(figures),
        ratios=(
            Ratio(name="time, by the bare reads", values=tuple(a.seconds / b.seconds for a, b in pairs)),
            Ratio(
                name="CPU of the client, by the bare reads",
                values=tuple(a.client_cpu / b.client_cpu for a, b in pairs),
            ),
        ),
        notes=(
            "Nothing differs and no vector is looked at (--vectors 0). The bare reads get the same points by the same "
            "pages, one request after the other, and neither read Postgres nor compare. What a process takes to start "
            "does not count, but for the memory.",
        ),
    )
