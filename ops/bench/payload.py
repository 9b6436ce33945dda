"""Price-only changes: what one worker applies a second, with the fan-out and without, and what two apply."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from connectors.kafka import KafkaAdmin
from ops.bench.backlog import committed_records, published_records, until_committed
from ops.bench.figures import BenchReport, Figure, Ratio
from ops.bench.own_stack import own_stack
from ops.bench.synthetic import price_updates, publish
from ops.bench.worker_stages import WorkDone, look
from ops.devstack.service import until_answers_ok
from ops.devstack.stack import Say, Stack, all_at_once
from ops.settings import Settings, WorkerSettings
from schemas.errors import BrokerError, StackError
from streams.topics import APP_ID, PARTITIONS, PRODUCT_CHANGES

KEYS = 2000
WORKERS = 2
SESSION_SECONDS = 10
SHARED_OUT_WITHIN_SECONDS = 120.0
LOOK_EVERY_SECONDS = 0.2
WORKERS_PART = "workers"
GOAL = "≥ 3,000"


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One way to run the same load."""

    name: str
    workers: int
    fanout: bool

    @property
    def worker_names(self) -> tuple[str, ...]:
        """As the stack calls them."""
        return tuple(f"worker-{number}" for number in range(1, self.workers + 1))


ONE = Side(name="one worker", workers=1, fanout=True)
WITHOUT = Side(name="one without fan-out", workers=1, fanout=False)
TWO = Side(name="two workers", workers=WORKERS, fanout=True)
SIDES = (ONE, WITHOUT, TWO)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One measurement: records, seconds, processor seconds by part of the stack, and the workers' own account."""

    records: int
    seconds: float
    cpu_seconds: dict[str, float]
    done: WorkDone

    @property
    def rate(self) -> float:
        """Records a second."""
        return self.records / self.seconds

    @property
    def cores(self) -> float:
        """How many cores the parts kept busy."""
        return sum(self.cpu_seconds.values()) / self.seconds


async def run_payload(settings: Settings, home: Path, *, records: int, rounds: int, say: Say) -> BenchReport:
    """Measure on a stack of its own: a broker, Qdrant and the workers, which are ready when the records come.

    Raises:
        LockstepError: A part cannot be started, or the workers do not get through.
    """
    side = ONE
    start = 0

    def for_workers(of_stack: Settings) -> Settings:
        worker = WorkerSettings(fanout=side.fanout, session_timeout_seconds=SESSION_SECONDS)
        return of_stack.model_copy(update={"worker": worker})

    def next_numbers(count: int) -> range:
        nonlocal start
        start += count
        return range(start - count, start)

    stack = Stack(
        settings,
        home,
        services=("kafka", "qdrant"),
        workers=WORKERS,
        usual_ports=False,
        say=say,
        for_workers=for_workers,
    )
    runs: dict[Side, list[Run]] = defaultdict(list)
    async with own_stack(stack), KafkaAdmin(stack.settings.kafka.brokers) as admin:
        for number in range(rounds):
            first = number % len(SIDES)
            for side in SIDES[first:] + SIDES[:first]:
                await _start_workers(stack, admin, side)
                # Not measured: a process's first batches, and at first the one embedding of each key.
                await publish(stack.settings.kafka.brokers, price_updates(KEYS, next_numbers(KEYS)))
                await until_committed(admin, await published_records(admin))
                run = await _measure(stack, admin, side, next_numbers(records))
                for name in side.worker_names:
                    await stack.kill(name)
                runs[side].append(run)
                say(f"{side.name}: {run.rate:,.0f} records a second, {run.cores:.1f} cores busy")
    return report(runs, records=records)


async def _start_workers(stack: Stack, admin: KafkaAdmin, side: Side) -> None:
    """Return once they have all partitions among them; a worker that was killed keeps its own until its session ends.

    Raises:
        LockstepError: A worker does not start, or the partitions are not shared out.
    """
    await all_at_once(stack.restart(name) for name in side.worker_names)
    try:
        async with asyncio.timeout(SHARED_OUT_WITHIN_SECONDS):
            while not await _shared_out(admin, side.workers):
                await asyncio.sleep(LOOK_EVERY_SECONDS)
            for name in side.worker_names:
                await until_answers_ok(f"{stack.address(name)}/health/ready")
    except TimeoutError as error:
        raise BrokerError(
            f"{side.name} did not get all partitions within {SHARED_OUT_WITHIN_SECONDS:.0f} s",
            hint=f"see {stack.log_file(side.worker_names[-1])}",
        ) from error


async def _shared_out(admin: KafkaAdmin, workers: int) -> bool:
    group = await admin.group(APP_ID, PRODUCT_CHANGES)
    shares = [len(partitions) for partitions in group.partitions.values()]
    return group.state == "STABLE" and len(shares) == workers and all(shares) and sum(shares) == PARTITIONS


async def _measure(stack: Stack, admin: KafkaAdmin, side: Side, numbers: range) -> Run:
    """From when all records are on the topic to the last commit: what the publishing takes does not count."""
    addresses = [stack.address(name) for name in side.worker_names]
    await publish(stack.settings.kafka.brokers, price_updates(KEYS, numbers))
    total = await published_records(admin)
    done, committed = await asyncio.gather(look(addresses), committed_records(admin))
    cpu, started = _cpu_seconds(stack, side), time.monotonic()
    if committed == total:
        raise StackError(f"the workers were done before all {len(numbers)} records were published", hint="give more")
    await until_committed(admin, total)
    seconds = time.monotonic() - started
    return Run(
        records=total - committed,
        seconds=seconds,
        cpu_seconds={part: after - cpu[part] for part, after in _cpu_seconds(stack, side).items()},
        done=await look(addresses) - done,
    )


def _cpu_seconds(stack: Stack, side: Side) -> dict[str, float]:
    def used(*names: str) -> float:
        times = [psutil.Process(pid).cpu_times() for name in names if (pid := stack.pid(name))]
        return sum(spent.user + spent.system for spent in times)

    return {WORKERS_PART: used(*side.worker_names), "qdrant": used("qdrant"), "broker": used("kafka")}


def report(runs: dict[Side, list[Run]], *, records: int) -> BenchReport:
    """The rates, what they cost, and where the time of one worker goes."""
    figures = [
        Figure(
            name=side.name,
            unit="records/s",
            values=tuple(run.rate for run in runs[side]),
            goal=GOAL if side is ONE else None,
        )
        for side in SIDES
    ]
    for side in SIDES:
        figures += _costs(side, runs[side])
    return BenchReport(
        scenario="payload",
        seed=None,
        sizes={"keys": KEYS, "records a round": records},
        figures=(*figures, *_stages(runs[ONE])),
        ratios=(
            _ratio("with the fan-out, by without", runs[ONE], runs[WITHOUT]),
            _ratio("two workers, by one (where cores allow)", runs[TWO], runs[ONE]),
        ),
        notes=(
            "Records are published while the workers stand ready, after a warm-up; timed from when all are on the "
            "topic to the last commit.",
            "Where the cores that are busy come near those that the machine has, another worker adds nothing.",
        ),
    )


def _costs(side: Side, runs: Sequence[Run]) -> list[Figure]:
    figures = [
        Figure(
            name=f"{side.name}: CPU of {part}",
            unit="s/1,000 rec.",
            values=tuple(1000 * run.cpu_seconds[part] / run.records for run in runs),
        )
        for part in runs[0].cpu_seconds
    ]
    return [*figures, Figure(name=f"{side.name}: cores busy", unit="cores", values=tuple(run.cores for run in runs))]


def _stages(runs: Sequence[Run]) -> list[Figure]:
    """Of one worker: each stage of its batches. The first five are of one batch while the last four are of another."""
    figures = [Figure(name="one worker: a batch", unit="records", values=tuple(r.done.records_a_batch for r in runs))]
    means = [run.done.milliseconds_a_batch for run in runs]
    for stage in means[0]:
        values = tuple(mean.get(stage, 0.0) for mean in means)
        figures.append(Figure(name=f"one worker: {stage}", unit="ms/batch", values=values))
    return figures


def _ratio(name: str, side: Sequence[Run], other: Sequence[Run]) -> Ratio:
    return Ratio(name=name, values=tuple(a.rate / b.rate for a, b in zip(side, other, strict=True)))
