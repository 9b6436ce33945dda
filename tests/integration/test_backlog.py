"""Workers come and go while records wait: the moment at which Faust, left to itself, drops what it has fetched."""

import asyncio
import signal
from collections import Counter
from collections.abc import AsyncIterator
from itertools import cycle
from pathlib import Path

import pytest

from connectors.kafka import KafkaAdmin
from ops.bench.synthetic import price_updates, publish
from ops.devstack.keeper import keep_worker
from ops.devstack.stack import Stack
from ops.settings import EmbeddingSettings, Settings, WorkerSettings
from ops.trail import read_trail
from schemas.record import Place
from streams.topics import APP_ID, PARTITIONS, PRODUCT_CHANGES
from tests.containers.choice import make_stack

pytestmark = pytest.mark.stack

KEYS = 300
RECORDS = 16_000
WORKERS = ("worker-1", "worker-2", "worker-3")
RECORDS_BETWEEN_SIGNALS = 1200


@pytest.fixture
async def stack(tmp_path: Path) -> AsyncIterator[Stack]:
    """A broker, Qdrant and workers that are slow enough, by small batches, for a backlog to last."""

    def for_workers(settings: Settings) -> Settings:
        worker = WorkerSettings(session_timeout_seconds=6, batch_records=50, fanout=False, trail=tmp_path / "trail")
        return settings.model_copy(update={"worker": worker})

    settings = Settings(_env_file=None, embedding=EmbeddingSettings(threads=1))
    stack = make_stack(
        settings,
        tmp_path / "stack",
        services=("kafka", "qdrant"),
        workers=len(WORKERS),
        for_workers=for_workers,
    )
    try:
        await stack.start_servers()
        await stack.prepare()
        yield stack
    finally:
        await stack.stop()
        stack.wipe()


async def test_promise_1_rebalances_with_records_waiting_lose_none(stack: Stack, tmp_path: Path) -> None:
    await publish(stack.settings.kafka.brokers, price_updates(KEYS, range(RECORDS)))
    await stack.start_workers()
    keeping = [asyncio.create_task(keep_worker(stack, name, lambda line: None)) for name in WORKERS]
    hits = 0
    try:
        async with KafkaAdmin(stack.settings.kafka.brokers) as admin:
            marks = await admin.watermarks(PRODUCT_CHANGES)

            async def left() -> int:
                committed = await admin.committed(APP_ID, PRODUCT_CHANGES)
                return sum(marks[number].high - committed.get(number, 0) for number in range(PARTITIONS))

            targets = cycle(zip(WORKERS * 2, (signal.SIGTERM, signal.SIGKILL) * 3, strict=True))
            waiting = await left()
            while waiting:
                name, number = next(targets)
                if stack.is_running(name):
                    await stack.kill(name, number)
                    hits += 1
                enough = max(0, waiting - RECORDS_BETWEEN_SIGNALS)
                while (waiting := await left()) > enough:
                    await asyncio.sleep(0.2)
    finally:
        for task in keeping:
            task.cancel()
        await asyncio.wait(keeping)
    assert hits > 3, "the backlog was gone too soon"
    handled = Counter(place for place, _ in read_trail(tmp_path / "trail"))
    everything = {
        str(Place(topic=PRODUCT_CHANGES, partition=number, offset=offset))
        for number in range(PARTITIONS)
        for offset in range(marks[number].high)
    }
    assert len(everything) == RECORDS
    assert everything - handled.keys() == set()
