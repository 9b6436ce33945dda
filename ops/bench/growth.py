"""How the costs grow with the number of rows: the table's recovery and memory, a change, reconcile, rebuild."""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

import orjson
from confluent_kafka import Consumer, KafkaException, TopicPartition

from connectors.kafka import KafkaAdmin
from connectors.kafka_errors import broker_error, quiet
from ops.bench.child import run_module
from ops.bench.figures import BenchReport, Figure, exponent
from ops.bench.filled_table import fill_table
from ops.bench.history import history
from ops.bench.one_worker import WORKER, memory_of_worker, one_worker, pace, start_worker, until_all_applied
from ops.bench.rebuild_command import STARTING, run_rebuild_command
from ops.bench.reconcile import LOOK, RECONCILE
from ops.bench.stand_in_vectors import fill_live_collection
from ops.bench.synthetic import price_updates, publish
from ops.demo.catalogue import generate_products
from ops.devstack.stack import Say, Stack
from ops.settings import Settings
from ops.stores import open_rows
from schemas.errors import StackError
from schemas.product import Product
from streams.topics import APP_ID, PRODUCT_CHANGES

SERVICES = ("kafka", "postgres", "qdrant")
CHANGED_KEYS = 1000

TABLE, MEMORY, CHANGE = "reading the table", "memory above an empty worker", "a price change"
REBUILD = "rebuild"
UNITS = {TABLE: "s", MEMORY: "MB", CHANGE: "ms", RECONCILE: "s", REBUILD: "s"}

Costs = Mapping[str, list[float]]
"""Of one size: a value a round for each of `UNITS`."""


async def run_growth(
    settings: Settings, home: Path, *, keys: Sequence[int], changes: int, rounds: int, seed: int, say: Say
) -> BenchReport:
    """Measure each cost at each of these numbers of rows, at least two different ones, on a new stack a size.

    Raises:
        LockstepError: A part cannot be started, or the work failed.
    """
    by_size: dict[int, Costs] = {}
    empty: float | None = None
    for count in sorted(set(keys)):
        async with one_worker(settings, home, say=say, services=SERVICES) as stack:
            say(f"filling Postgres, topic, Qdrant and table with {count:,} rows")
            rows = await _fill(stack, count, seed)
            if empty is None:
                empty = await _empty_worker(stack)
            await fill_table(stack.settings, rows)
            by_size[count] = await _costs(stack, empty, changes=changes, rounds=rounds, say=say)
    return report(by_size, changes=changes, rounds=rounds, seed=seed)


async def _empty_worker(stack: Stack) -> float:
    """Megabytes of a worker whose table is empty."""
    await start_worker(stack)
    megabytes = memory_of_worker(stack).now
    await stack.kill(WORKER)
    return megabytes


async def _fill(stack: Stack, count: int, seed: int) -> list[Product]:
    """All that is there when a worker has applied so many rows, but for its table."""
    settings = stack.settings
    async with open_rows(settings) as table:
        await table.copy_products(generate_products(count, seed))
        rows = [row async for page in table.pages() for row in page]
    await publish(settings.kafka.brokers, history(rows, count, seed))
    if (points := await fill_live_collection(settings, seed, lambda line: None)) != count:
        raise StackError(f"the live collection has {points} points of {count} rows")
    await _commit_to_the_end(settings.kafka.brokers)
    return rows


async def _commit_to_the_end(brokers: str) -> None:
    """Have the workers' group go on behind the records that are there.

    Raises:
        BrokerError: It cannot be reached, or refuses: a worker has been in the group within its session.
    """
    async with KafkaAdmin(brokers) as admin:
        marks = await admin.watermarks(PRODUCT_CHANGES)
    group = Consumer({"bootstrap.servers": brokers, "group.id": APP_ID, "enable.auto.commit": False}, **quiet())
    try:
        offsets = [TopicPartition(PRODUCT_CHANGES, number, mark.high) for number, mark in marks.items()]
        await asyncio.to_thread(group.commit, offsets=offsets, asynchronous=False)
    except KafkaException as error:
        raise broker_error(f"commit offsets of {PRODUCT_CHANGES}", brokers, error.args[0]) from error
    finally:
        group.close()


async def _costs(stack: Stack, empty: float, *, changes: int, rounds: int, say: Say) -> Costs:
    """Rebuild and reconcile in turn; then the worker, whose changes are of keys that Postgres never had."""
    found: dict[str, list[float]] = {name: [] for name in UNITS}
    for number in range(rounds):
        for measure in (_rebuild, _reconcile) if number % 2 == 0 else (_reconcile, _rebuild):
            await measure(stack, found)
    brokers = stack.settings.kafka.brokers
    await publish(brokers, price_updates(CHANGED_KEYS, range(CHANGED_KEYS)))
    for number in range(rounds + 1):
        start = await start_worker(stack)
        megabytes = memory_of_worker(stack).now
        await until_all_applied(stack)
        begin = CHANGED_KEYS + number * changes
        await publish(brokers, price_updates(CHANGED_KEYS, range(begin, begin + changes)))
        milliseconds = 1000 / await pace(stack)
        await stack.kill(WORKER)
        if number:  # the first start finds the keys new, and warms up
            for name, value in ((TABLE, start.table_seconds), (MEMORY, megabytes - empty), (CHANGE, milliseconds)):
                found[name].append(value)
    for name, values in found.items():
        say(f"{name}: {', '.join(f'{value:.2f}' for value in values)} {UNITS[name]}")
    return found


async def _rebuild(stack: Stack, found: Costs) -> None:
    run_of_it = await run_rebuild_command(stack.settings, stack.home.path)
    if run_of_it.differences:
        raise StackError(f"the rebuilt collection has {run_of_it.differences} differences from Postgres")
    found[REBUILD].append(run_of_it.seconds - run_of_it.phases[STARTING])


async def _reconcile(stack: Stack, found: Costs) -> None:
    did = orjson.loads((await run_module(stack.settings, LOOK, RECONCILE)).output)
    if did["differences"]:
        raise StackError(f"the collection has {did['differences']} differences from Postgres")
    found[RECONCILE].append(did["seconds"])


def report(by_size: Mapping[int, Costs], *, changes: int, rounds: int, seed: int) -> BenchReport:
    """The costs at each size, and the exponent of each, a value a round."""
    figures: list[Figure] = []
    powers: list[Figure] = []
    unknown: list[str] = []
    for name, unit in UNITS.items():
        figures += [
            Figure(name=f"{name}, {size:,} rows", unit=unit, values=tuple(costs[name]))
            for size, costs in by_size.items()
        ]
        rows = list(zip(*(costs[name] for costs in by_size.values()), strict=True))
        if all(value > 0 for row in rows for value in row):
            powers.append(
                Figure(name=f"{name}: exponent", unit="", values=tuple(exponent(list(by_size), row) for row in rows))
            )
        else:
            unknown.append(f"{name}: too small to say how it grows; give it more rows.")
    return BenchReport(
        scenario="growth",
        seed=seed,
        sizes={"price changes": changes, "rounds": rounds},
        figures=(*figures, *powers),
        ratios=(),
        notes=(
            "Cost ~ rows to the power of the exponent: 1 is in proportion, 0 does not grow.",
            "Rebuild and reconcile without the start of their process; nothing differs, all vectors are taken over.",
            "The sizes come one after the other; the worker's first start at each is a warm-up, and not counted.",
            *unknown,
        ),
    )
