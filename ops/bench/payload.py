"""Price-only changes: what one worker applies a second, with the fan-out and without."""

import asyncio
import statistics
import time
from dataclasses import dataclass, field
from pathlib import Path

from connectors.kafka import KafkaAdmin
from ops.bench.synthetic import price_updates, publish
from ops.devstack.stack import Say, Stack
from ops.settings import Settings, WorkerSettings
from schemas.errors import BrokerError
from streams.topics import APP_ID, PRODUCT_CHANGES

KEYS = 2000
WORKER = "worker-1"
LOOK_EVERY_SECONDS = 0.05
APPLIED_WITHIN_SECONDS = 300.0


@dataclass(slots=True, kw_only=True)
class PayloadReport:
    """Records a second of each round, the two kinds in turn within one run."""

    records: int
    with_fanout: list[float] = field(default_factory=list)
    without_fanout: list[float] = field(default_factory=list)

    @property
    def fanout_cost(self) -> float:
        """The share of the rate that the fan-out takes, by the medians."""
        return 1 - statistics.median(self.with_fanout) / statistics.median(self.without_fanout)


async def run_payload(settings: Settings, home: Path, *, records: int, rounds: int, say: Say) -> PayloadReport:
    """Measure on a stack of its own: a broker, Qdrant and one worker, which finds its records waiting at each start.

    Raises:
        LockstepError: A part cannot be started, or the worker does not get through.
    """
    report = PayloadReport(records=records)
    fanout = True

    def for_workers(of_stack: Settings) -> Settings:
        return of_stack.model_copy(update={"worker": WorkerSettings(fanout=fanout, session_timeout_seconds=10)})

    stack = Stack(
        settings, home, services=("kafka", "qdrant"), workers=1, usual_ports=False, say=say, for_workers=for_workers
    )
    await stack.stop()
    stack.wipe()
    try:
        await stack.start_servers()
        await stack.prepare()
        say(f"indexing {KEYS:,} rows")
        await _records_per_second(stack, range(KEYS))
        start = KEYS
        for number in range(rounds):
            for fanout in (number % 2 == 0, number % 2 == 1):
                rate = await _records_per_second(stack, range(start, start + records))
                (report.with_fanout if fanout else report.without_fanout).append(round(rate, 1))
                say(f"{rate:,.0f} records a second {'with' if fanout else 'without'} the fan-out")
                start += records
    finally:
        await stack.stop()
        stack.wipe()
    return report


async def _records_per_second(stack: Stack, numbers: range) -> float:
    """From the first commit that is seen to the last: what a worker's start takes does not count."""
    await publish(stack.settings.kafka.brokers, price_updates(KEYS, numbers))
    async with KafkaAdmin(stack.settings.kafka.brokers) as admin:

        async def left() -> int:
            committed = await admin.committed(APP_ID, PRODUCT_CHANGES)
            return sum(mark.high - committed.get(partition, 0) for partition, mark in marks.items())

        marks = await admin.watermarks(PRODUCT_CHANGES)
        everything = await left()
        await stack.restart(WORKER)
        try:
            async with asyncio.timeout(APPLIED_WITHIN_SECONDS):
                while (at_first := await left()) == everything:
                    await asyncio.sleep(LOOK_EVERY_SECONDS)
                started = time.monotonic()
                while await left():
                    await asyncio.sleep(LOOK_EVERY_SECONDS)
        except TimeoutError as error:
            raise BrokerError(
                f"the worker has not applied its records within {APPLIED_WITHIN_SECONDS:.0f} s"
            ) from error
        seconds = time.monotonic() - started
    await stack.kill(WORKER)
    return at_first / seconds
