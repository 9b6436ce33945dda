"""Events on a real broker: confirmed, in order, without a gap when it refuses one, and through its death."""

import asyncio
import signal
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace

import pytest
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay, wait_fixed

from connectors.kafka import KafkaAdmin
from connectors.ordered_producer import OrderedProducer
from connectors.topic_reader import TopicReader
from ops.devstack.stack import Stack
from ops.settings import Settings
from schemas.errors import BrokerError, ErrorKind
from schemas.fanout_event import FanoutEvent, ProductChanged, event_id
from schemas.record import Place, Record
from streams.topics import DECLARATIONS, EVENTS, MAX_RECORD_BYTES, PARTITIONS, PRODUCT_CHANGES
from tests.containers.choice import make_stack

pytestmark = pytest.mark.stack

WAIT_SECONDS = 60.0
CHANGED = ProductChanged.topic


@dataclass
class Broker:
    """A running broker; what stood on the `changed` topic when the test began does not count."""

    stack: Stack
    address: str
    starts: dict[int, int]

    def producer(self) -> OrderedProducer:
        return OrderedProducer(self.address, max_record_bytes=MAX_RECORD_BYTES)

    async def written(self, partition: int = 0) -> list[FanoutEvent]:
        """Every event that the test left in a partition."""
        async with TopicReader(self.address, CHANGED) as reader:
            end = (await reader.watermarks([partition]))[partition].high
            read = reader.read({partition: self.starts[partition]}, {partition: end})
            messages = [message async for batch in read for message in batch]
        return [
            FanoutEvent.from_record(
                Record(
                    place=Place(topic=CHANGED, partition=partition, offset=message.offset()),
                    key=message.key(),
                    value=message.value(),
                    headers=tuple(message.headers() or ()),
                )
            )
            for message in messages
        ]

    async def kill(self) -> None:
        await self.stack.kill("kafka", signal.SIGKILL)

    async def restart(self) -> None:
        await self.stack.restart("kafka")


@pytest.fixture(scope="module")
def stack_of_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A broker of these tests alone: they kill it."""
    stack = make_stack(Settings(_env_file=None), tmp_path_factory.mktemp("broker"), services=("kafka",))
    try:
        asyncio.run(stack.start_servers())
        yield stack
    finally:
        asyncio.run(stack.stop())
        stack.wipe()


@pytest.fixture
async def broker(stack_of_broker: Stack) -> Broker:
    address = stack_of_broker.settings.kafka.brokers
    async with KafkaAdmin(address) as admin:
        await admin.wait_until_ready(WAIT_SECONDS)
        await admin.apply([topic for topic in DECLARATIONS if topic.name in EVENTS])
        # A partition has no leader yet for a moment after its topic was created or its broker came back.
        retrying = AsyncRetrying(
            retry=retry_if_exception_type(BrokerError), wait=wait_fixed(0.1), stop=stop_after_delay(WAIT_SECONDS)
        )
        marks = await retrying(admin.watermarks, CHANGED)
    return Broker(stack_of_broker, address, {partition: mark.high for partition, mark in marks.items()})


def event(number: int, *, partition: int = 0, text: str = "") -> FanoutEvent:
    place = Place(topic=PRODUCT_CHANGES, partition=partition, offset=number)
    data = ProductChanged(
        article_id=f"A{number}",
        version=number,
        source=str(place),
        lsn=number,
        committed_at=None,
        operation="update",
        from_snapshot=False,
        changed_fields=("description",),
        before={"description": None},
        after={"description": text},
    )
    return FanoutEvent.of(data, id=event_id(ProductChanged, place, 0), partition=partition)


async def test_promise_1_published_events_stand_in_their_partitions_in_order(broker: Broker) -> None:
    events = [event(n, partition=n % PARTITIONS) for n in range(600)]
    async with broker.producer() as producer:
        await producer.publish(events[:300])
        assert await broker.written(1) == [e for e in events[:300] if e.partition == 1]
        await producer.publish(events[300:])
        for partition in range(PARTITIONS):
            assert await broker.written(partition) == [e for e in events if e.partition == partition]


async def test_largest_event_is_accepted(broker: Broker) -> None:
    large = event(1, text="x" * (MAX_RECORD_BYTES - 5_000))
    async with broker.producer() as producer:
        await producer.publish([large])
        assert await broker.written() == [large]


async def test_more_than_the_queue_holds_is_published(broker: Broker) -> None:
    events = [event(n, text=str(n) * 1_000_000) for n in range(1, 9)] * 12
    async with broker.producer() as producer:
        await producer.publish(events)
        assert [e.id for e in await broker.written()] == [e.id for e in events]


async def test_promise_1_behind_a_refused_event_nothing_is_written(broker: Broker) -> None:
    declared = next(topic for topic in DECLARATIONS if topic.name == CHANGED)
    limited = replace(declared, config={**declared.config, "max.message.bytes": "1100000"})
    # Enough of them for several requests in flight when the refusal comes.
    events = [event(n, text="x" * (2_000_000 if n == 5000 else 1000)) for n in range(8000)]
    async with KafkaAdmin(broker.address) as admin, broker.producer() as producer:
        await admin.apply([limited])
        with pytest.raises(BrokerError, match=r"products\.changed\.v1.*too large") as caught:
            await producer.publish(events)
        assert caught.value.kind is ErrorKind.OUTAGE
        assert [e.id for e in await broker.written()] == [e.id for e in events[:5000]]
        await admin.apply([declared])
        await producer.publish(events)
    seen = list(dict.fromkeys(e.id for e in await broker.written()))
    assert seen == [e.id for e in events]


async def test_promise_1_broker_that_dies_in_between_gets_every_event_in_order(broker: Broker) -> None:
    events = [event(n, text="x" * 1000) for n in range(30_000)]
    async with KafkaAdmin(broker.address) as admin, broker.producer() as producer:
        publishing = asyncio.create_task(producer.publish(events))
        async with asyncio.timeout(WAIT_SECONDS):
            while (await admin.watermarks(CHANGED))[0].high == broker.starts[0]:
                await asyncio.sleep(0)
        await broker.kill()
        assert not publishing.done()
        await broker.restart()
        async with asyncio.timeout(WAIT_SECONDS):
            await publishing
    seen = list(dict.fromkeys(e.id for e in await broker.written()))
    assert seen == [e.id for e in events]


async def test_leaving_ends_a_publish_that_waits_for_a_broker(broker: Broker) -> None:
    await broker.kill()
    try:
        async with broker.producer() as producer:
            publishing = asyncio.create_task(producer.publish([event(1)]))
            await asyncio.wait([publishing], timeout=0.5)
            assert not publishing.done()
        async with asyncio.timeout(5):
            with pytest.raises(BrokerError, match="before the worker stopped"):
                await publishing
            while any(thread.name.startswith("ordered-producer") for thread in threading.enumerate()):
                await asyncio.sleep(0.01)
    finally:
        await broker.restart()


async def test_an_abandoned_publish_ends_with_the_context(broker: Broker) -> None:
    await broker.kill()
    try:
        async with broker.producer() as producer:
            publishing = asyncio.create_task(producer.publish([event(1)]))
            await asyncio.wait([publishing], timeout=0.2)
            publishing.cancel()
            with suppress(asyncio.CancelledError):
                await publishing
        async with asyncio.timeout(5):
            while any(thread.name.startswith("ordered-producer") for thread in threading.enumerate()):
                await asyncio.sleep(0.01)
    finally:
        await broker.restart()


async def test_missing_partition_is_an_outage(broker: Broker) -> None:
    async with broker.producer() as producer:
        with pytest.raises(BrokerError, match="partition") as caught:
            await producer.publish([event(1, partition=PARTITIONS)])
    assert caught.value.kind is ErrorKind.OUTAGE


async def test_an_event_that_was_abandoned_never_comes_behind_its_successors(broker: Broker) -> None:
    async with broker.producer() as producer:
        await producer.publish([event(1)])
        await broker.kill()
        publishing = asyncio.create_task(producer.publish([event(2)]))
        await asyncio.wait([publishing], timeout=0.5)
        publishing.cancel()
        async with asyncio.timeout(5):
            await asyncio.wait([publishing])
        assert publishing.cancelled()
        await broker.restart()
        await producer.publish([event(3)])  # the next batch, after another worker has had the partition
        assert [e.id for e in await broker.written()] == [event(1).id, event(3).id]
