"""A view of the running pipeline from outside."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import aiohttp
import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, Message, Producer, TopicPartition

from connectors.postgres import Postgres
from connectors.qdrant import QdrantStore
from ops.catch_up import Pipeline
from ops.devstack.stack import Stack
from ops.reconcile import ReconcileReport, reconcile
from ops.stores import open_rows, open_store
from schemas.record import Place
from streams.topics import DEAD_LETTERS, PARTITIONS, PRODUCT_CHANGES

WITHIN_SECONDS = 30.0
WORKER = "worker-1"


@dataclass(slots=True, kw_only=True)
class Running:
    """The stack, and what a test asks of it. `prefix` keeps one test's keys apart from another's."""

    stack: Stack
    rows: Postgres
    store: QdrantStore
    pipeline: Pipeline
    prefix: str

    def key(self, name: str) -> str:
        return f"{self.prefix}-{name}"

    async def sql(self, statement: str, *values: object) -> None:
        await self.rows.execute(statement, *values)

    async def insert(self, name: str, /, **columns: Any) -> str:
        """Insert a row; its key."""
        values = {"article_id": self.key(name), "name": f"Strap top {name}", **columns}
        places = ", ".join(f"${n}" for n in range(1, len(values) + 1))
        await self.sql(f"INSERT INTO products ({', '.join(values)}) VALUES ({places})", *values.values())
        return self.key(name)

    async def payload(self, key: str) -> dict[str, Any] | None:
        """The point of a key, or None."""
        live = await self.store.live_collection()
        return (await self.store.payloads(live.name, [key])).get(key)

    async def until(self, check: Callable[[], Awaitable[Any]]) -> Any:
        """Wait until the check gives something true, and give it back."""
        async with asyncio.timeout(WITHIN_SECONDS):
            while not (found := await check()):
                await asyncio.sleep(0.05)
        return found

    async def until_payload(self, key: str, **wanted: Any) -> dict[str, Any]:
        """Wait until the point of a key holds these values; its payload."""

        async def matching() -> dict[str, Any] | None:
            payload = await self.payload(key)
            return payload if payload is not None and payload | wanted == payload else None

        found: dict[str, Any] = await self.until(matching)
        return found

    async def until_gone(self, key: str) -> None:
        async def gone() -> bool:
            return await self.payload(key) is None

        await self.until(gone)

    async def worker(self, path: str = "/") -> dict[str, Any] | None:
        """A page of the worker's web; None when it does not answer."""
        try:
            async with aiohttp.ClientSession() as session, session.get(self.stack.address(WORKER) + path) as response:
                page: dict[str, Any] = await response.json()
                return page
        except aiohttp.ClientError:
            return None

    async def reconcile(self) -> ReconcileReport:
        await self.pipeline.settle()
        return await reconcile(self.rows, self.store, settle=self.pipeline.settle)

    def publish(self, key: bytes | None, value: bytes | None, partition: int = 0) -> Place:
        """Put a record straight on the source topic; where it stands."""
        placed: list[Message] = []
        producer = Producer({"bootstrap.servers": self.stack.settings.kafka.brokers, "message.max.bytes": 8_000_000})
        producer.produce(
            PRODUCT_CHANGES,
            key=key,
            value=value,
            partition=partition,
            on_delivery=lambda error, message: placed.append(message),
        )
        producer.flush(20)
        [message] = placed
        assert message.error() is None, message.error()
        return Place(topic=message.topic(), partition=message.partition(), offset=message.offset())

    def dead_letters(self) -> dict[str, dict[str, bytes]]:
        """The headers of every dead letter there is now, by the place of its record, with `key` and `value`."""
        consumer = Consumer(
            {
                "bootstrap.servers": self.stack.settings.kafka.brokers,
                "group.id": f"test-{uuid4().hex}",
                "enable.auto.commit": False,
            }
        )
        try:
            partitions = [TopicPartition(DEAD_LETTERS, p, OFFSET_BEGINNING) for p in range(PARTITIONS)]
            left = sum(consumer.get_watermark_offsets(p, timeout=10)[1] for p in partitions)
            consumer.assign(partitions)
            found = {}
            while left:
                for message in consumer.consume(left, timeout=10):
                    left -= 1
                    headers = dict(message.headers() or [])
                    if "lockstep-place" not in headers:
                        continue  # it resolves a dead letter
                    place = headers["lockstep-place"].decode()
                    found[place] = headers | {"key": message.key(), "value": message.value()}
            return found
        finally:
            consumer.close()

    async def until_dead_letter(self, place: Place | None = None, *, naming: str = "") -> dict[str, bytes]:
        """Wait for the dead letter of a place, or for one whose error names something."""

        async def found() -> dict[str, bytes] | None:
            letters = await asyncio.to_thread(self.dead_letters)
            if place:
                return letters.get(str(place))
            return next((e for e in letters.values() if naming in str(e["key"]) + e["lockstep-error"].decode()), None)

        letter: dict[str, bytes] = await self.until(found)
        return letter


@pytest.fixture
async def running(stack: Stack) -> AsyncIterator[Running]:
    """The pipeline, up and drained; the test's own rows are removed at the end."""
    async with (
        open_rows(stack.settings) as rows,
        open_store(stack.settings) as store,
        Pipeline.open(stack.settings) as pipeline,
    ):
        prefix = uuid4().hex[:8]
        yield Running(stack=stack, rows=rows, store=store, pipeline=pipeline, prefix=prefix)
        await rows.execute("DELETE FROM products WHERE starts_with(article_id, $1)", prefix)
