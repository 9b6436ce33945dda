"""How fast the collection is made again: beside what the endpoint and the model do alone, and beside live changes."""

import asyncio
from pathlib import Path

from ops.bench.child import run_module
from ops.bench.history import history
from ops.bench.live_changes import live_changes
from ops.bench.own_stack import own_stack
from ops.bench.rebuild_command import RebuildRun, run_rebuild_command
from ops.bench.rebuild_report import NewModel, RebuildBenchReport, SameRecipe
from ops.bench.stand_in_vectors import fill_live_collection
from ops.bench.synthetic import publish
from ops.catch_up import Pipeline
from ops.demo.catalogue import generate_products
from ops.devstack.stack import SERVICES, Say, Stack
from ops.settings import Settings
from ops.stores import open_rows
from schemas.errors import StackError
from schemas.recipe import OFFLINE_MODEL, Recipe

BARE = "ops.bench.bare"
NAIVE_SECONDS = 20
EMBEDDED_ROWS = 3000
"""Rows of the second half, where every rebuild embeds all: 10 seconds of the offline model on two cores."""
IDLE_SECONDS = 40.0

ANOTHER = Recipe(
    model=f"{OFFLINE_MODEL}@256",
    dimensions=256,
    text_columns=("product_type", "name", "color", "description"),
    separator=" | ",
)


async def run_rebuild_bench(
    settings: Settings, home: Path, *, rows: int, records: int, rounds: int, seed: int, say: Say
) -> RebuildBenchReport:
    """Measure on stacks of its own, one after the other; each is stopped and wiped, also when this is cancelled.

    Raises:
        LockstepError: A part cannot be started, or a rebuild failed.
    """
    report = RebuildBenchReport(
        seed=seed,
        same=SameRecipe(rows=rows, records=records),
        new=NewModel(rows=min(rows, EMBEDDED_ROWS)),
    )
    servers = Stack(settings, home, services=("kafka", "postgres", "qdrant"), usual_ports=False, say=say)
    async with own_stack(servers):
        await _same_recipe(servers, report.same, rounds=rounds, seed=seed, say=say)
    pipeline = Stack(settings, home, services=SERVICES, workers=1, usual_ports=False, say=say)
    async with own_stack(pipeline):
        await _load_through_the_worker(pipeline, report.new.rows, seed)
        await _new_model(pipeline, report.new, rounds=rounds, say=say)
        await _live_changes(pipeline, report, rounds=rounds, say=say)
    return report


async def _same_recipe(stack: Stack, same: SameRecipe, *, rounds: int, seed: int, say: Say) -> None:
    """Without capture and workers, which would have to embed everything first: what they leave is put there."""
    settings, home = stack.settings, stack.home.path
    say(f"putting {same.rows:,} rows into Postgres and {same.records:,} records on the topic")
    async with open_rows(settings) as table:
        await table.copy_products(generate_products(same.rows, seed))
        rows = [row async for page in table.pages() for row in page]
    await publish(settings.kafka.brokers, history(rows, same.records, seed))
    say("filling the live collection, with random vectors")
    if (points := await fill_live_collection(settings, seed, say)) != same.rows:
        raise StackError(f"the live collection has {points} points of {same.rows} rows")
    del rows

    async def rebuild() -> None:
        same.rebuilds.append(_good(await run_rebuild_command(settings, home), say))

    async def bare() -> None:
        for what, seconds in (
            ("copy", same.copy_seconds),
            ("copy-guarded", same.guarded_copy_seconds),
            ("write", same.write_seconds),
            ("write-guarded", same.guarded_write_seconds),
        ):
            seconds.append(await _bare(settings, what))
            say(f"{what}: {seconds[-1]} s by the client alone")
        same.naive_records_per_second.append(await _bare(settings, "naive", str(NAIVE_SECONDS)))
        say(f"naive replay: {same.naive_records_per_second[-1]} records a second")

    for number in range(rounds):
        for measure in (rebuild, bare) if number % 2 == 0 else (bare, rebuild):
            await measure()


async def _load_through_the_worker(stack: Stack, rows: int, seed: int) -> None:
    async with open_rows(stack.settings) as table:
        await table.copy_products(generate_products(rows, seed))
    await stack.start_capture()
    await stack.start_workers()
    async with Pipeline.open(stack.settings) as pipeline:
        await pipeline.settle()


async def _new_model(stack: Stack, new: NewModel, *, rounds: int, say: Say) -> None:
    for number in range(rounds):
        recipe = _recipe_of(number)
        new.raw_texts_per_second.append(await _bare(stack.settings, "embed", recipe.model_dump_json()))
        say(f"the model alone: {new.raw_texts_per_second[-1]} texts a second")
        new.rebuilds.append(_good(await run_rebuild_command(stack.settings, stack.home.path, recipe), say))


async def _live_changes(stack: Stack, report: RebuildBenchReport, *, rounds: int, say: Say) -> None:
    settings, live = stack.settings, report.live
    say(f"changing rows, with nothing beside, for {IDLE_SECONDS:.0f} s")
    async with live_changes(settings, report.seed) as live.idle:
        await asyncio.sleep(IDLE_SECONDS)
    say("changing rows during rebuilds")
    async with live_changes(settings, report.seed + 1) as live.during:
        for number in range(rounds, 2 * rounds):
            _good(await run_rebuild_command(settings, stack.home.path, _recipe_of(number)), say)


def _recipe_of(number: int) -> Recipe:
    """Each round's is another than the one before; the collection begins with the default."""
    return Recipe() if number % 2 else ANOTHER


def _good(run: RebuildRun, say: Say) -> RebuildRun:
    if run.differences:
        raise StackError(f"the rebuilt collection has {run.differences} differences from Postgres")
    say(f"rebuild: {run.seconds} s, {', '.join(f'{name} {seconds}' for name, seconds in run.phases.items())}")
    return run


async def _bare(settings: Settings, *arguments: str) -> float:
    ended = await run_module(settings, BARE, *arguments)
    return round(float(ended.output), 2)
