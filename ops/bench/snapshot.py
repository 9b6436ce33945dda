"""A catalogue that is there already: how fast its snapshot becomes searchable, beside the model alone on its texts."""

import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson

from connectors.kafka import KafkaAdmin
from connectors.topic_reader import TopicReader
from ops.bench.backlog import until_committed
from ops.bench.child import run_module
from ops.bench.figures import BenchReport, Figure, Ratio
from ops.bench.own_stack import own_stack
from ops.bench.raw_embedding import PLAIN, SORTED
from ops.bench.worker_stages import WorkDone, look
from ops.demo.catalogue import generate_products
from ops.devstack.stack import Say, Stack, all_at_once
from ops.settings import Settings
from ops.stores import open_rows, open_store
from schemas.errors import StackError
from streams.topics import PARTITIONS, PRODUCT_CHANGES

RAW = "ops.bench.raw_embedding"
WORKER = "worker-1"
GOAL = "≥ 0.95"


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """One snapshot, in seconds since the epoch: the connector's start, its first record, the last commit."""

    begun: float
    first_record: float
    ended: float
    done: WorkDone

    @property
    def whole(self) -> float:
        """Seconds from the connector's start on."""
        return self.ended - self.begun

    @property
    def indexing(self) -> float:
        """Seconds from the first record on: all that the worker has."""
        return self.ended - self.first_record


@dataclass(frozen=True, slots=True, kw_only=True)
class Raw:
    """The model alone, in one of its two uses."""

    texts: int
    seconds: float

    @property
    def rate(self) -> float:
        """Texts a second."""
        return self.texts / self.seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """Both sides over the same rows."""

    snapshot: Snapshot
    sorted: Raw
    plain: Raw

    @property
    def rate(self) -> float:
        """Distinct texts of the table that became searchable, a second, from the first record on."""
        return self.sorted.texts / self.snapshot.indexing

    @property
    def whole_rate(self) -> float:
        """The same from the connector's start on."""
        return self.sorted.texts / self.snapshot.whole


async def run_snapshot(settings: Settings, home: Path, *, rows: int, rounds: int, seed: int, say: Say) -> BenchReport:
    """Measure on a new stack each round, with other rows; the worker stands ready when the connector is applied.

    Raises:
        LockstepError: A part cannot be started, the worker does not get through, or points are missing at the end.
    """
    found = []
    for number in range(rounds):
        say(f"round {number + 1}: a new stack with {rows:,} rows")
        stack = Stack(settings, home, workers=1, usual_ports=False, say=say)
        async with own_stack(stack):
            async with open_rows(stack.settings) as table:
                await table.copy_products(generate_products(rows, seed + number))
            await stack.start_workers()
            found.append(await _round(stack, rows, snapshot_first=number % 2 == 0, say=say))
    return report(found, rows=rows, seed=seed)


async def _round(stack: Stack, rows: int, *, snapshot_first: bool, say: Say) -> Round:
    snapshots: list[Snapshot] = []
    raw: dict[str, Raw] = {}

    async def pipeline() -> None:
        snapshots.append(await _snapshot(stack, rows))
        say(f"searchable {snapshots[-1].indexing:.1f} s after the first record, {snapshots[-1].whole:.1f} s in all")

    async def model_alone() -> None:
        for kind in (SORTED, PLAIN):
            raw[kind] = Raw(**orjson.loads((await run_module(stack.settings, RAW, kind)).output))
            say(f"the model alone, {kind}: {raw[kind].texts:,} texts in {raw[kind].seconds:.1f} s")

    for measure in (pipeline, model_alone) if snapshot_first else (model_alone, pipeline):
        await measure()
    return Round(snapshot=snapshots[0], sorted=raw[SORTED], plain=raw[PLAIN])


async def _snapshot(stack: Stack, rows: int) -> Snapshot:
    address = stack.address(WORKER)
    before = await look([address])
    begun = ended = time.time()
    async with KafkaAdmin(stack.settings.kafka.brokers) as admin:

        async def until_searchable() -> None:
            nonlocal ended
            await until_committed(admin, rows)
            ended = time.time()

        # Together: a small snapshot is through before the connector is known to run.
        await all_at_once((stack.start_capture(), until_searchable()))
    done = await look([address]) - before
    async with open_store(stack.settings) as store:
        if (points := await store.count((await store.live_collection()).name)) != rows:
            raise StackError(f"the collection has {points} points of {rows} rows")
    return Snapshot(begun=begun, first_record=await _first_record(stack.settings), ended=ended, done=done)


async def _first_record(settings: Settings) -> float:
    """When Connect handed the first record to the broker."""
    async with TopicReader(settings.kafka.brokers, PRODUCT_CHANGES) as topic:
        marks = await topic.watermarks(range(PARTITIONS))
        firsts = {number: min(1, mark.high) for number, mark in marks.items()}
        times = [
            message.timestamp()[1]
            async for messages in topic.read(dict.fromkeys(firsts, 0), firsts)
            for message in messages
        ]
    return float(min(times)) / 1000


def report(found: Sequence[Round], *, rows: int, seed: int) -> BenchReport:
    """Rates, ratios, and where the worker's time goes."""

    def figure(name: str, unit: str, values: Sequence[float]) -> Figure:
        return Figure(name=name, unit=unit, values=tuple(values))

    shots = [one.snapshot for one in found]
    shares: dict[str, list[float]] = defaultdict(list)
    for shot in shots:
        for stage, seconds in shot.done.seconds.items():
            shares[stage].append(100 * seconds / shot.indexing)
    return BenchReport(
        scenario="snapshot",
        seed=seed,
        sizes={"rows": rows},
        figures=(
            figure("searchable, from the first record", "texts/s", [one.rate for one in found]),
            figure("searchable, from the connector's start", "texts/s", [one.whole_rate for one in found]),
            figure("the model alone, sorted by length", "texts/s", [one.sorted.rate for one in found]),
            figure("the model alone, as in fastembed's manual", "texts/s", [one.plain.rate for one in found]),
            figure("distinct texts of the rows", "texts", [one.sorted.texts for one in found]),
            figure("texts that the worker embedded", "texts", [shot.done.embeddings for shot in shots]),
            figure("connector's start to the first record", "s", [shot.first_record - shot.begun for shot in shots]),
            figure("first record to the last commit", "s", [shot.indexing for shot in shots]),
            *(figure(f"of that, {stage}", "%", share) for stage, share in shares.items() if max(share) > 0),
        ),
        ratios=(
            Ratio(
                name="from the first record, by the model sorted",
                values=tuple(one.rate / one.sorted.rate for one in found),
                goal=GOAL,
            ),
            Ratio(
                name="from the first record, by the model as in its manual",
                values=tuple(one.rate / one.plain.rate for one in found),
            ),
            Ratio(
                name="from the connector's start, by the model sorted",
                values=tuple(one.whole_rate / one.sorted.rate for one in found),
            ),
        ),
        notes=(
            "Both sides have the same distinct texts and threads; the model alone has all of them at once, and writes "
            "nothing. Its loading and first 64 texts do not count, nor does the worker's start.",
        ),
    )
