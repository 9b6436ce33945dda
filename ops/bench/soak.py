"""The soak: changes and faults for some minutes on a stack of its own, then an audit of every record.

It shows promises 1 and 2 on the real broker, Connect, Debezium and Postgres.
"""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from random import Random

from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay, wait_fixed

from connectors.kafka import KafkaAdmin
from ops.bench.audit import Evidence, Verdict, judge_soak
from ops.bench.evidence import gather, read_events, read_rows, worker_ends
from ops.bench.fanout_audit import judge_events, overtaken
from ops.bench.findings import Finding
from ops.bench.injector import Injector
from ops.bench.poison import PoisonSource
from ops.bench.qdrant_proxy import QdrantProxy
from ops.bench.synthetic import price_updates, publish, tombstones
from ops.bench.writers import Writers
from ops.catch_up import Pipeline
from ops.devstack.stack import Say, Stack
from ops.settings import Settings, WorkerSettings
from ops.stores import open_rows
from schemas.errors import LockstepError, SourceError
from streams.late_deletes import LOOK_EVERY_SECONDS, MARGIN_SECONDS
from streams.topics import DECLARATIONS, PRODUCT_CHANGES

SESSION_SECONDS = 10.0
QDRANT_TIMEOUT_SECONDS = 5.0
BATCH_RECORDS = 50
"""Less than the largest transaction of the writers."""
TRANSACTIONS_PER_SECOND = 16.0
BACKLOG_KEYS = 300
BACKLOG_RECORDS = 30_000
"""There when the workers start: what they lose at a rebalance, they lose with records waiting."""
LATE_WRITES_SECONDS = SESSION_SECONDS + QDRANT_TIMEOUT_SECONDS + MARGIN_SECONDS + 2 * LOOK_EVERY_SECONDS
"""After this long no write of a worker that lost its partitions can arrive, and late deletes have been repeated."""
SIGNAL_WITHIN_SECONDS = 60.0
DRAINED_WITHIN_SECONDS = 120.0

COMPACT_AT_ONCE = {
    "segment.ms": "4000",
    "min.compaction.lag.ms": "0",
    "max.compaction.lag.ms": "4000",
    "min.cleanable.dirty.ratio": "0.01",
}
"""In the second half, so that the cleaner runs while the workers read, and offsets have gaps. Tombstones stay."""

_SNAPSHOT = """
    INSERT INTO debezium_signal (id, type, data) VALUES (
        gen_random_uuid()::text, 'execute-snapshot',
        '{"type": "incremental", "data-collections": ["public.products"]}')
"""


@dataclass(slots=True, kw_only=True)
class SoakReport:
    """What was done to the pipeline, and how it stood it. `drain_seconds` counts from the end of the last fault."""

    seed: int
    minutes: float
    workers: int
    rows: int = 0
    transactions: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    qdrant_faults: Counter[str] = field(default_factory=Counter)
    worker_ends: Counter[str] = field(default_factory=Counter)
    offsets: int = 0
    compacted: int = 0
    repeats: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    poison: int = 0
    dead_letters: int = 0
    events: Counter[str] = field(default_factory=Counter)
    revivals: int = 0
    overtaken: int = 0
    """Articles whose last event is a repeat of an older one: a paused worker sent it when it woke."""
    drain_seconds: float = 0.0
    findings: tuple[Finding, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether no promise was broken."""
        return not self.findings


async def run_soak(settings: Settings, home: Path, report: SoakReport, say: Say) -> None:
    """Run it in `home`, on free ports, and fill the report; all is stopped at the end, and wiped if it passed.

    Raises:
        LockstepError: A part cannot be started.
    """
    proxy = QdrantProxy(lambda: stack.address("qdrant"), rng=Random(report.seed))
    trail = home / "trail"

    def for_workers(of_stack: Settings) -> Settings:
        return of_stack.model_copy(
            update={
                "qdrant": of_stack.qdrant.model_copy(update={"url": proxy.address}),
                "worker": of_stack.worker.model_copy(update={"trail": trail}),
            }
        )

    stack = Stack(
        _soaked(settings), home, workers=report.workers + 1, usual_ports=False, say=say, for_workers=for_workers
    )
    await stack.stop()
    stack.wipe()
    trail.unlink(missing_ok=True)
    try:
        async with proxy:
            await _run(stack, proxy, trail, report, say)
    finally:
        await stack.stop()
    if report.passed:
        stack.wipe()
        trail.unlink(missing_ok=True)


def _soaked(settings: Settings) -> Settings:
    return settings.model_copy(
        update={
            "worker": WorkerSettings(session_timeout_seconds=SESSION_SECONDS, batch_records=BATCH_RECORDS),
            "qdrant": settings.qdrant.model_copy(update={"timeout_seconds": QDRANT_TIMEOUT_SECONDS}),
            "embedding": settings.embedding.model_copy(update={"threads": 1}),
        }
    )


async def _run(stack: Stack, proxy: QdrantProxy, trail: Path, report: SoakReport, say: Say) -> None:
    await stack.start_servers()
    await stack.prepare()
    backlog = chain(price_updates(BACKLOG_KEYS, range(BACKLOG_RECORDS)), tombstones(BACKLOG_KEYS))
    await publish(stack.settings.kafka.brokers, backlog)
    writers = Writers(stack.settings.postgres.dsn.get_secret_value(), report.seed, per_second=TRANSACTIONS_PER_SECOND)
    await writers.load_first_rows()
    await stack.start_capture()
    poison = PoisonSource(stack.settings.kafka.brokers, writers.keys)
    injector = Injector(
        stack,
        proxy,
        poison,
        seed=report.seed,
        session_seconds=SESSION_SECONDS,
        snapshot_again=lambda: _snapshot_again(stack.settings),
        say=say,
    )
    try:
        await injector.start_workers()
        async with _writing(writers):
            await injector.run(report.minutes * 30)
            await _compact_at_once(stack.settings)
            await injector.run(report.minutes * 30)
        mended = time.monotonic()
        undrained = await _drain(stack.settings, say)
        report.drain_seconds = round(time.monotonic() - mended, 1)
        await asyncio.sleep(max(0.0, mended + LATE_WRITES_SECONDS - time.monotonic()))
        say("auditing")
        evidence = await gather(stack, proxy, poison, trail)
    finally:
        await injector.stop()
    verdict = judge_soak(evidence)
    _fill(report, evidence, verdict, undrained)
    events = await read_events(stack.settings)
    report.events = Counter(event.topic for event in events)
    report.overtaken = overtaken(events)
    report.findings += tuple(judge_events(events, await read_rows(stack.settings)))
    report.transactions, report.faults = writers.transactions, injector.injected
    report.qdrant_faults = Counter({fault.value: hits for fault, hits in proxy.faults.hits.items()})
    report.worker_ends = Counter(worker_ends(stack))


@asynccontextmanager
async def _writing(writers: Writers) -> AsyncIterator[None]:
    task = asyncio.create_task(writers.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})
    if not task.cancelled() and (error := task.exception()):
        raise error


async def _compact_at_once(settings: Settings) -> None:
    [declared] = [one for one in DECLARATIONS if one.name == PRODUCT_CHANGES]
    async with KafkaAdmin(settings.kafka.brokers) as admin:
        await admin.apply([replace(declared, config=declared.config | COMPACT_AT_ONCE)])


async def _snapshot_again(settings: Settings) -> None:
    """Ask Debezium to read the table again; Postgres may be down for a while."""
    retrying = AsyncRetrying(
        retry=retry_if_exception_type(SourceError),
        wait=wait_fixed(0.5),
        stop=stop_after_delay(SIGNAL_WITHIN_SECONDS),
        reraise=True,
    )

    async def signal() -> None:
        async with open_rows(settings) as rows:
            await rows.execute(_SNAPSHOT)

    await retrying(signal)


async def _drain(settings: Settings, say: Say) -> str | None:
    """Wait until everything written is applied; why it never is, if so."""
    say("draining")
    try:
        async with Pipeline.open(settings, say) as pipeline, asyncio.timeout(DRAINED_WITHIN_SECONDS):
            await pipeline.settle()
    except TimeoutError:
        return f"it was still behind after {DRAINED_WITHIN_SECONDS:.0f} s"
    except LockstepError as error:
        return str(error)
    return None


def _fill(report: SoakReport, evidence: Evidence, verdict: Verdict, undrained: str | None) -> None:
    report.offsets, report.compacted, report.repeats = verdict.offsets, verdict.compacted, verdict.repeats
    report.outcomes = Counter(verdict.outcomes)
    report.poison = len(evidence.poison)
    report.dead_letters = len(evidence.dead_letters)
    report.revivals = len(evidence.revivals)
    report.rows = evidence.reconciled.rows
    not_drained = Finding(what="the pipeline did not drain", count=1, examples=(undrained or "",))
    report.findings = ((not_drained,) if undrained else ()) + verdict.findings
