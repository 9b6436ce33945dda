"""The source topic is made anew under a worker on the real broker: it stops, says what to do, and loses nothing."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest
from confluent_kafka import Consumer, TopicPartition

from connectors.kafka import KafkaAdmin, Watermarks
from connectors.postgres import Postgres
from connectors.qdrant import QdrantStore
from ops.devstack.stack import Stack
from ops.settings import EmbeddingSettings, Settings, WorkerSettings
from ops.stores import open_rows, open_store
from schemas.errors import StackError
from streams.topics import APP_ID, DECLARATIONS, PARTITIONS, PRODUCT_CHANGES
from tests.containers.choice import make_stack

pytestmark = pytest.mark.stack

WORKER = "worker-1"
WITHIN_SECONDS = 60.0


class World:
    """A stack of this module alone, whose worker may be given another epoch."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._stacks: list[Stack] = []
        self.stack = self.with_epoch(0)
        self.rows: Postgres
        self.store: QdrantStore

    def with_epoch(self, epoch: int) -> Stack:
        worker = WorkerSettings(name="test-source", session_timeout_seconds=6, epoch=epoch)
        settings = Settings(_env_file=None, worker=worker, embedding=EmbeddingSettings(threads=1))
        self.stack = make_stack(settings, self._home, workers=1)
        self._stacks.append(self.stack)
        return self.stack

    async def stop(self) -> None:
        for stack in self._stacks:  # each takes note of the end of what it started
            await stack.stop()
        self.stack.wipe()

    async def insert(self, count: int) -> list[str]:
        keys = [f"K{uuid4().hex[:10]}" for _ in range(count)]
        for key in keys:
            await self.rows.execute("INSERT INTO products (article_id, name) VALUES ($1, $2)", key, f"Strap top {key}")
        return keys

    async def until(self, check: Callable[[], Awaitable[object]]) -> None:
        async with asyncio.timeout(WITHIN_SECONDS):
            while not await check():
                await asyncio.sleep(0.1)

    async def until_indexed(self, keys: list[str]) -> None:
        live = await self.store.live_collection()

        async def all_there() -> bool:
            return len(await self.store.payloads(live.name, keys)) == len(keys)

        await self.until(all_there)

    async def until_on_topic(self, count: int) -> None:
        async def all_there() -> bool:
            marks = await self.watermarks()
            return sum(of.high for of in marks.values()) >= count

        await self.until(all_there)

    async def until_ended(self) -> str:
        async def ended() -> bool:
            return not self.stack.is_running(WORKER)

        await self.until(ended)
        return self.stack.how_it_ended(WORKER)

    async def make_topic_anew(self, partitions: int = PARTITIONS) -> None:
        [declared] = [declaration for declaration in DECLARATIONS if declaration.name == PRODUCT_CHANGES]
        async with KafkaAdmin(self.stack.settings.kafka.brokers) as admin:
            await admin.delete(PRODUCT_CHANGES)
            await admin.apply([replace(declared, partitions=partitions)])

    async def watermarks(self) -> dict[int, Watermarks]:
        # A client that knew the old topic takes a while to believe in the new one.
        async with KafkaAdmin(self.stack.settings.kafka.brokers) as admin:
            return await admin.watermarks(PRODUCT_CHANGES)

    async def commit_to_the_end(self) -> None:
        """What a broker that keeps a group's offsets would have: they lie past the records of the new topic."""

        async def nobody() -> bool:
            async with KafkaAdmin(self.stack.settings.kafka.brokers) as admin:
                return not await admin.members(APP_ID)

        await self.until(nobody)
        marks = await self.watermarks()
        consumer = Consumer(
            {
                "bootstrap.servers": self.stack.settings.kafka.brokers,
                "group.id": APP_ID,
                "enable.auto.commit": False,
            }
        )
        offsets = [TopicPartition(PRODUCT_CHANGES, partition, of.high) for partition, of in marks.items()]
        await asyncio.to_thread(consumer.commit, offsets=offsets, asynchronous=False)
        consumer.close()


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    world = World(tmp_path)
    try:
        await world.stack.start()
        settings = world.stack.settings
        async with open_rows(settings) as world.rows, open_store(settings) as world.store:
            yield world
    finally:
        await world.stop()


async def test_promise_1_topic_made_anew_stops_the_worker_until_the_epoch_is_raised(world: World) -> None:
    # More records than the new topic has, so that every new change would count as outdated.
    await world.until_indexed(await world.insert(60))

    # Under a running worker: it notices, and its next start says what to do.
    await world.make_topic_anew()
    late = await world.insert(30)
    await world.until_on_topic(30)
    ended = await world.until_ended()
    if "exit code 2" not in ended:
        with pytest.raises(StackError):
            await world.stack.restart(WORKER)
        ended = world.stack.how_it_ended(WORKER)
    assert "exit code 2" in ended
    assert f"topic {PRODUCT_CHANGES} was made anew" in ended
    assert "raise LOCKSTEP_WORKER_EPOCH to 1" in ended

    # It stays so, however often it is started.
    with pytest.raises(StackError, match="LOCKSTEP_WORKER_EPOCH"):
        await world.stack.restart(WORKER)

    # With the epoch raised the new topic is read from its beginning, wherever the group's offsets stand.
    await world.commit_to_the_end()
    await world.with_epoch(1).restart(WORKER)
    await world.until_indexed(late)
    await world.until_indexed(await world.insert(5))

    # A worker that was forgotten is told the epoch of the others.
    await world.stack.kill(WORKER)
    with pytest.raises(StackError, match="LOCKSTEP_WORKER_EPOCH=1"):
        await world.with_epoch(0).restart(WORKER)

    # Partitions are never another number.
    await world.make_topic_anew(PARTITIONS + 1)
    with pytest.raises(StackError) as refused:
        await world.with_epoch(2).restart(WORKER)
    assert f"has {PARTITIONS + 1} partitions, not {PARTITIONS}" in str(refused.value) + _log(world)
    assert "make the topic anew and raise LOCKSTEP_WORKER_EPOCH" in _log(world)


def _log(world: World) -> str:
    return world.stack.log_file(WORKER).read_text()
