"""What a worker holds in memory, by the number of keys in its table."""

from collections.abc import Sequence
from pathlib import Path

from ops.bench.figures import BenchReport, Figure
from ops.bench.filled_table import catalogue_rows, fill_table, publish_as_captured
from ops.bench.history import history
from ops.bench.one_worker import WORKER, Memory, memory_of_worker, one_worker, start_worker, until_all_applied
from ops.devstack.stack import Say, Stack
from ops.settings import Settings

GOALS = {106_000: "≤ 400", 1_000_000: "≤ 1,500"}
RECORDS_A_ROW = 2

READY, READY_PEAK, WORKED, WORKED_PEAK = "ready", "peak until then", "after records", "peak by then"


async def run_memory(
    settings: Settings, home: Path, *, keys: Sequence[int], rows: int, rounds: int, seed: int, say: Say
) -> BenchReport:
    """Measure a fresh process in each round: when it is ready, and when it has applied `rows` rows' changes.

    One stack a size, with a table that is filled through its changelog. Each round changes other rows, so that each
    embeds as much; their points are not in Qdrant yet.

    Raises:
        LockstepError: A part cannot be started, or the worker does not get through.
    """
    figures: list[Figure] = []
    empty: float | None = None
    for count in sorted(set(keys)):
        async with one_worker(settings, home, say=say) as stack:
            say(f"filling the table with {count:,} keys")
            await fill_table(stack.settings, catalogue_rows(count, seed))
            measured = [await _round(stack, number, rows=rows, seed=seed, say=say) for number in range(rounds)]
        of_this = figures_of(count, measured)
        figures += of_this
        ready = of_this[0].median
        if count == 0:
            empty = ready
        elif empty is not None:
            figures.append(
                Figure(name=f"{count:,} keys: each, above none", unit="bytes", values=((ready - empty) * 1e6 / count,))
            )
    return BenchReport(
        scenario="memory",
        seed=seed,
        sizes={"changed rows": rows, "records": RECORDS_A_ROW * rows, "rounds": rounds},
        figures=tuple(figures),
        ratios=(),
        notes=(
            "Resident size of the worker's process with its model loaded, in MB of 1,000,000 bytes.",
            "A round is a process of its own; the sizes come one after the other, smallest first.",
        ),
    )


async def _round(stack: Stack, number: int, *, rows: int, seed: int, say: Say) -> tuple[Memory, Memory]:
    """Ready, and after it has worked."""
    await start_worker(stack)
    ready = memory_of_worker(stack)
    changed = list(catalogue_rows(rows, seed, start=number * rows))
    await publish_as_captured(stack.settings.kafka.brokers, history(changed, RECORDS_A_ROW * rows, seed))
    await until_all_applied(stack)
    worked = memory_of_worker(stack)
    await stack.kill(WORKER)
    say(f"{ready.now:,.0f} MB when it is ready, {worked.now:,.0f} MB after {RECORDS_A_ROW * rows:,} records")
    return ready, worked


def figures_of(count: int, rounds: Sequence[tuple[Memory, Memory]]) -> list[Figure]:
    """Of one size, a value a round."""
    goal = GOALS.get(count)
    measured = (
        (READY, [ready.now for ready, _ in rounds], goal),
        (READY_PEAK, [ready.peak for ready, _ in rounds], None),
        (WORKED, [worked.now for _, worked in rounds], goal),
        (WORKED_PEAK, [worked.peak for _, worked in rounds], None),
    )
    return [
        Figure(name=f"{count:,} keys: {name}", unit="MB", values=tuple(values), goal=goal)
        for name, values, goal in measured
    ]
