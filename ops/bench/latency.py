"""From a commit in Postgres to a search that shows it, at several rates, and where on the way the time goes."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from connectors.topic_reader import TopicReader, record_of
from ops.bench.figures import BenchReport, Figure
from ops.bench.latency_stages import Stage, Way, ways
from ops.bench.live_changes import LOOK_EVERY_SECONDS, TEXTS_AMONG, changing
from ops.bench.own_stack import own_stack
from ops.bench.rebuild_report import percentile
from ops.bench.worker_stages import WorkDone, look
from ops.catch_up import Pipeline
from ops.demo.catalogue import generate_products
from ops.devstack.stack import Say, Stack
from ops.settings import Settings
from ops.stores import open_rows
from schemas.fanout_event import FanoutEvent, ProductIndexed
from schemas.record import Record
from streams.topics import PARTITIONS, PRODUCT_CHANGES

RATES = (1, 10, 100)
"""Changes a second."""
IDLE_RATES = (1, 10)
"""Those at which the pipeline has nothing else to do: the goals are for these."""
GOALS = {50: "≤ 150", 99: "≤ 500"}
PERCENTILES = (50, 95, 99)
FEW_CHANGES_LONGER = 2
"""At one change a second a measurement lasts so many times as long."""
WARM_UP_SECONDS = 3.0
WORKER = "worker-1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Spell:
    """One measurement at one rate."""

    ways: list[Way]
    seconds: float
    done: WorkDone


async def run_latency(
    settings: Settings, home: Path, *, rows: int, seconds: float, rounds: int, seed: int, say: Say
) -> BenchReport:
    """Measure on a stack of its own with one worker; the rates follow one another, the other way round each round.

    Raises:
        LockstepError: A part cannot be started, or a change was not searchable within a minute.
    """
    spells: dict[int, list[Spell]] = defaultdict(list)
    stack = Stack(settings, home, workers=1, usual_ports=False, say=say)
    async with own_stack(stack):
        say(f"indexing {rows:,} rows")
        async with open_rows(stack.settings) as table:
            await table.copy_products(generate_products(rows, seed))
        await stack.start_capture()
        await stack.start_workers()
        await _settle(stack)
        await _measure(stack, max(RATES), WARM_UP_SECONDS, seed)
        for number in range(rounds):
            for rate in RATES if number % 2 == 0 else RATES[::-1]:
                lasting = seconds * (FEW_CHANGES_LONGER if rate == min(RATES) else 1)
                of_rate = seed + 1 + number * len(RATES) + RATES.index(rate)
                spell = await _measure(stack, rate, lasting, of_rate)
                spells[rate].append(spell)
                taken = [way.milliseconds for way in spell.ways]
                say(
                    f"{rate} a second: {len(taken)} changes, "
                    f"p50 {percentile(taken, 50):.0f} ms, p99 {percentile(taken, 99):.0f} ms"
                )
    return report(spells, rows=rows, seconds=seconds, seed=seed)


async def _settle(stack: Stack) -> None:
    async with Pipeline.open(stack.settings) as pipeline:
        await pipeline.settle()


async def _measure(stack: Stack, rate: int, seconds: float, seed: int) -> Spell:
    brokers = stack.settings.kafka.brokers
    address = stack.address(WORKER)
    async with (
        TopicReader(brokers, PRODUCT_CHANGES) as changes,
        TopicReader(brokers, ProductIndexed.topic) as events,
    ):
        change_starts, event_starts = await _ends(changes), await _ends(events)
        before, started = await look([address]), time.monotonic()
        async with changing(stack.settings, seed, rate) as live:
            await asyncio.sleep(seconds)
            lasted = time.monotonic() - started
        await _settle(stack)  # an event is published after its point can be seen
        done = await look([address]) - before
        records = await _records(changes, change_starts)
        indexed = [FanoutEvent.from_record(record).data for record in await _records(events, event_starts)]
    on_topic = {str(record.place): record.timestamp_ms / 1000 for record in records}
    searchable_at = {event.source: event.searchable_at for event in indexed if isinstance(event, ProductIndexed)}
    return Spell(ways=ways(live.shown, on_topic, searchable_at), seconds=lasted, done=done)


async def _ends(topic: TopicReader) -> dict[int, int]:
    return {number: mark.high for number, mark in (await topic.watermarks(range(PARTITIONS))).items()}


async def _records(topic: TopicReader, starts: Mapping[int, int]) -> list[Record]:
    ends = await _ends(topic)
    return [record_of(message) async for messages in topic.read(starts, ends) for message in messages]


def report(spells: Mapping[int, Sequence[Spell]], *, rows: int, seconds: float, seed: int) -> BenchReport:
    """Percentiles of each rate, by the whole and by stage."""
    return BenchReport(
        scenario="latency",
        seed=seed,
        sizes={"rows": rows, "seconds": round(seconds)},
        figures=tuple(figure for rate in spells for figure in _figures(rate, spells[rate])),
        ratios=(),
        notes=(
            f"From Postgres's clock at the commit to a reader who looks every {1000 * LOOK_EVERY_SECONDS:.0f} ms. "
            f"Each {TEXTS_AMONG}th change is of the text too. Percentiles are of each round.",
            "capture: to Debezium's record; broker and wait: to the worker's batch, decoded; worker: plan, embed and "
            "write, until Qdrant has acknowledged the batch or a reader has seen the change; reader: the rest.",
            "Fewer changes a second than were asked for mean that every row was waiting to be seen.",
        ),
    )


def _figures(rate: int, spells: Sequence[Spell]) -> list[Figure]:
    every = [spell.ways for spell in spells]
    figures = [_figure(rate, "changes", "per s", [len(s.ways) / s.seconds for s in spells])]
    for share in PERCENTILES:
        values = [percentile([way.milliseconds for way in of_round], share) for of_round in every]
        goal = GOALS.get(share) if rate in IDLE_RATES else None
        figures.append(_figure(rate, f"searchable p{share}", "ms", values, goal))
    for name, text in (("price only", False), ("text too", True)):
        kinds = [[way.milliseconds for way in of_round if way.text is text] for of_round in every]
        if all(kinds):
            figures.append(_figure(rate, f"{name} p50", "ms", [percentile(kind, 50) for kind in kinds]))
    for stage in Stage:
        for share in (50, 99):
            values = [percentile([way.of(stage) for way in of_round], share) for of_round in every]
            figures.append(_figure(rate, f"{stage} p{share}", "ms", values))
    return figures + _batches(rate, [spell.done for spell in spells])


def _batches(rate: int, done: Sequence[WorkDone]) -> list[Figure]:
    """What the worker says of its batches, in the mean."""
    figures = [_figure(rate, "a batch", "records", [work.records_a_batch for work in done])]
    means = [work.milliseconds_a_batch for work in done]
    for stage in means[0]:
        figures.append(_figure(rate, f"a batch's {stage}", "ms", [mean.get(stage, 0.0) for mean in means]))
    if all(work.embeddings for work in done):
        per_text = [1000 * work.seconds["embed"] / work.embeddings for work in done]
        figures.append(_figure(rate, "embed, a text", "ms", per_text))
    return figures


def _figure(rate: int, name: str, unit: str, values: Sequence[float], goal: str | None = None) -> Figure:
    return Figure(name=f"{rate}/s {name}", unit=unit, values=tuple(values), goal=goal)
