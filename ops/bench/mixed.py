"""Prices, texts, inserts and deletes mixed: one worker beside the naive consumer, on the same records."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import orjson
from qdrant_client import models

from connectors.kafka import KafkaAdmin
from connectors.qdrant import open_client
from ops.bench.child import run_module
from ops.bench.figures import BenchReport, Figure, Ratio
from ops.bench.mix import Mix
from ops.bench.one_worker import WORKER, backlog_pace, one_worker, start_worker, until_all_applied
from ops.bench.synthetic import publish
from ops.bench.worker_stages import WorkDone, look
from ops.devstack.stack import Say, Stack
from ops.settings import Settings
from ops.stores import open_store
from schemas.errors import StackError
from streams.topics import PRODUCT_CHANGES

NAIVE = "ops.bench.naive"
COLLECTION = "naive"
COPIED_AT_ONCE = 500
GOAL = "≥ 20"


@dataclass(slots=True)
class Rates:
    """Records a second, a value a round, and what was embedded of them, in per cent; `work` is the worker's account."""

    worker: list[float] = field(default_factory=list)
    naive: list[float] = field(default_factory=list)
    naive_embedded: list[float] = field(default_factory=list)
    work: list[WorkDone] = field(default_factory=list)


async def run_mixed(
    settings: Settings, home: Path, *, rows: int, changes: int, rounds: int, seconds: float, seed: int, say: Say
) -> BenchReport:
    """Measure on a stack of its own: a broker, Qdrant and one worker, which finds its records waiting.

    While one side runs the other does not. The naive consumer is timed over the first `seconds` of each round.

    Raises:
        LockstepError: A part cannot be started, or a side does not get through.
    """
    mix, rates = Mix(seed), Rates()
    async with one_worker(settings, home, say=say) as stack:
        say(f"indexing {rows:,} rows")
        await publish(stack.settings.kafka.brokers, mix.snapshot(rows))
        await start_worker(stack)
        await until_all_applied(stack)
        await stack.kill(WORKER)
        await _copy_live_collection(stack.settings)
        for number in range(rounds):
            starts = await _ends(stack)
            await publish(stack.settings.kafka.brokers, mix.changes(changes))
            sides = (partial(_worker, stack, rates), partial(_naive, stack, rates, starts, seconds))
            for side in sides if number % 2 == 0 else sides[::-1]:
                say(await side())
    return report(rates, rows=rows, changes=changes, seconds=seconds, seed=seed)


async def _worker(stack: Stack, rates: Rates) -> str:
    rates.worker.append(await backlog_pace(stack))
    rates.work.append(await look([stack.address(WORKER)]))
    await stack.kill(WORKER)
    return f"one worker: {rates.worker[-1]:,.0f} records a second"


async def _naive(stack: Stack, rates: Rates, starts: Sequence[int], seconds: float) -> str:
    ended = await run_module(stack.settings, NAIVE, COLLECTION, str(seconds), *map(str, starts))
    did = orjson.loads(ended.output)
    if not did["seconds"]:
        raise StackError("the naive consumer got no record", hint="give it more")
    rates.naive.append(did["records"] / did["seconds"])
    rates.naive_embedded.append(100 * did["embeddings"] / did["records"])
    return f"naive consumer: {rates.naive[-1]:,.1f} records a second"


async def _copy_live_collection(settings: Settings) -> None:
    """The naive consumer begins with the same points in a collection of the same recipe and indexes."""
    qdrant = settings.qdrant
    async with (
        open_store(settings) as store,
        open_client(qdrant.url, api_key=None, timeout_seconds=qdrant.timeout_seconds) as client,
    ):
        live = await store.live_collection()
        await store.create_collection(COLLECTION, live.recipe)
        offset: Any = None
        while True:
            page, offset = await client.scroll(
                live.name, limit=COPIED_AT_ONCE, offset=offset, with_payload=True, with_vectors=True
            )
            points: list[Any] = [models.PointStruct(id=p.id, vector=p.vector, payload=p.payload) for p in page]
            await client.upsert(COLLECTION, points=points, wait=True)
            if offset is None:
                return


async def _ends(stack: Stack) -> list[int]:
    async with KafkaAdmin(stack.settings.kafka.brokers) as admin:
        return [mark.high for mark in (await admin.watermarks(PRODUCT_CHANGES)).values()]


def report(rates: Rates, *, rows: int, changes: int, seconds: float, seed: int) -> BenchReport:
    """The rates, and in each round one by the other."""
    return BenchReport(
        scenario="mixed",
        seed=seed,
        sizes={"rows": rows, "changes a round": changes},
        figures=(
            Figure(name="one worker, with the fan-out", unit="records/s", values=tuple(rates.worker)),
            Figure(name="naive consumer", unit="records/s", values=tuple(rates.naive)),
            Figure(
                name="one worker: records embedded",
                unit="%",
                values=tuple(100 * work.embeddings / work.records for work in rates.work),
            ),
            Figure(name="naive consumer: records embedded", unit="%", values=tuple(rates.naive_embedded)),
            Figure(
                name="one worker: a batch", unit="records", values=tuple(work.records_a_batch for work in rates.work)
            ),
            *(
                Figure(
                    name=f"one worker: {stage}",
                    unit="ms/batch",
                    values=tuple(work.milliseconds_a_batch.get(stage, 0.0) for work in rates.work),
                )
                for stage in rates.work[0].milliseconds_a_batch
            ),
        ),
        ratios=(
            Ratio(
                name="one worker, by the naive consumer",
                values=tuple(ours / theirs for ours, theirs in zip(rates.worker, rates.naive, strict=True)),
                goal=GOAL,
            ),
        ),
        notes=(
            "90 % of the changes are of a price, 8 % of a text, 1 % inserts, 1 % deletes; a delete is two records.",
            "The worker finds its records waiting; timed from its first commit to its last. The naive consumer is "
            f"timed over the first {seconds:g} seconds of the same records, from the first that it gets.",
        ),
    )
