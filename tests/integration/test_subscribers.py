"""The example subscribers and `topics tail` on a real broker, with events as the worker publishes them."""

import asyncio
import os
import signal
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count, pairwise
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from connectors.kafka import KafkaAdmin
from connectors.ordered_producer import OrderedProducer
from connectors.topic_tail import Start, tail
from ops.demo.subscribers.audit_trail import FILE
from ops.demo.subscribers.running import Subscribers
from ops.devstack.stack import Stack
from ops.settings import Settings
from schemas.errors import BrokerError
from schemas.fanout_event import FanoutEvent, PriceChanged, ProductChanged, event_id
from schemas.product import time_text
from schemas.record import Place, Record
from streams.topics import DECLARATIONS, MAX_RECORD_BYTES, PRODUCT_CHANGES

pytestmark = pytest.mark.stack

WITHIN_SECONDS = 60.0

Publish = Callable[[list[FanoutEvent]], Awaitable[None]]


@dataclass
class Shop:
    """Prices of one article that change, as events; `prefix` keeps a test's keys and ids apart from another's."""

    prefix: str
    offsets: Any

    def price_events(self, *prices: str) -> list[FanoutEvent]:
        """Both events of each step from a price to the next."""
        return [event for old, new in pairwise(prices) for event in self._step(next(self.offsets), old, new)]

    def _step(self, offset: int, old: str, new: str) -> list[FanoutEvent]:
        place = Place(topic=f"{PRODUCT_CHANGES}.{self.prefix}", partition=0, offset=offset)
        common: dict[str, Any] = {
            "article_id": self.prefix,
            "version": offset,
            "source": str(place),
            "lsn": offset,
            "committed_at": time_text(datetime.now(UTC)),
            "from_snapshot": False,
        }
        row: Any = {"id": 1, "article_id": self.prefix, "name": "Strap top"}
        changed = ProductChanged(
            **common,
            operation="update",
            changed_fields=("price",),
            before=row | {"price": old},
            after=row | {"price": new},
        )
        price = PriceChanged(**common, old_price=old, new_price=new)
        return [FanoutEvent.of(data, id=event_id(type(data), place, 0), partition=0) for data in (changed, price)]


@pytest.fixture
def shop() -> Shop:
    return Shop(prefix=uuid4().hex[:8], offsets=count(1))


@pytest.fixture
async def publish(stack: Stack) -> AsyncIterator[Publish]:
    brokers = stack.settings.kafka.brokers
    async with KafkaAdmin(brokers) as admin:
        await admin.apply(DECLARATIONS)
    async with OrderedProducer(brokers, max_record_bytes=MAX_RECORD_BYTES) as producer:
        yield producer.publish


@pytest.fixture
def settings(stack: Stack, tmp_path: Path) -> Settings:
    return stack.settings.model_copy(update={"home": tmp_path})


async def until(check: Callable[[], Awaitable[Any]]) -> None:
    async with asyncio.timeout(WITHIN_SECONDS):
        while not await check():
            await asyncio.sleep(0.1)


def trail(home: Path, article_id: str) -> list[str]:
    """The ids that the audit trail has kept of an article, in their order."""
    database = sqlite3.connect(home / "subscribers" / FILE)
    try:
        statement = "SELECT id FROM changes WHERE article_id = ? ORDER BY number"
        return [row[0] for row in database.execute(statement, [article_id])]
    finally:
        database.close()


async def test_a_subscriber_that_stands_still_does_not_hold_back_the_other(
    settings: Settings, publish: Publish, shop: Shop
) -> None:
    told: list[tuple[str, str]] = []
    async with Subscribers.start(settings, lambda name, line: told.append((name, line))) as subscribers:

        async def read_by(name: str) -> bool:
            assert not subscribers.ended()
            return (await subscribers.lag())[name] == 0

        await until(lambda: read_by("audit-trail"))
        await until(lambda: read_by("price-drops"))
        audit_trail = next(each.process for each in subscribers.running if each.name == "audit-trail")
        os.kill(audit_trail.pid, signal.SIGSTOP)
        try:
            events = shop.price_events("19.90", "18.50", "16.99")
            await publish(events)
            await publish(events)  # as after a crash
            await until(lambda: read_by("price-drops"))
            assert (await subscribers.lag())["audit-trail"] == 4
        finally:
            os.kill(audit_trail.pid, signal.SIGCONT)
        await until(lambda: read_by("audit-trail"))
        assert trail(settings.home, shop.prefix) == [e.id for e in events if e.topic == ProductChanged.topic]
    assert [line for name, line in told if shop.prefix in line] == [
        f"{shop.prefix} fell from 19.90 to 16.99, by 15%"
    ] * 2


async def test_a_subscriber_goes_on_where_it_was_and_remembers(
    settings: Settings, publish: Publish, shop: Shop
) -> None:
    told: list[str] = []

    async def read_all(subscribers: Subscribers) -> bool:
        assert not subscribers.ended()
        return not any((await subscribers.lag()).values())

    began = datetime.now(UTC)
    steps = shop.price_events("19.90", "18.50", "17.50", "17.00")
    for part in (steps[:2], steps[2:]):  # no step alone is a tenth
        await publish(part)
        async with Subscribers.start(settings, lambda name, line: told.append(line)) as subscribers:
            await until(lambda s=subscribers: read_all(s))  # type: ignore[misc]
    assert len(trail(settings.home, shop.prefix)) == 3
    falls = [line for line in told if shop.prefix in line]
    window_ended = datetime.now(UTC).hour != began.hour
    assert window_ended or falls == [
        f"{shop.prefix} fell from 19.90 to 17.50, by 12%",
        f"{shop.prefix} fell from 19.90 to 17.00, by 15%",
    ]


def ids(records: list[Record], article_id: str) -> list[str]:
    return [FanoutEvent.from_record(record).id for record in records if record.key == article_id.encode()]


async def test_tail_reads_from_the_beginning_or_a_time_and_ends(stack: Stack, publish: Publish, shop: Shop) -> None:
    brokers, topic = stack.settings.kafka.brokers, PriceChanged.topic
    events = shop.price_events("3", "2", "1")
    await publish(events)
    wanted = sorted(event.id for event in events if event.topic == topic)

    async def found(start: Start | datetime) -> list[str]:
        batches = await asyncio.to_thread(lambda: list(tail(brokers, topic, start, follow=False)))
        return sorted(ids([record for batch in batches for record in batch], shop.prefix))

    assert await found(Start.BEGINNING) == wanted
    assert await found(datetime.now(UTC) - timedelta(hours=1)) == wanted
    assert await found(datetime.now(UTC) + timedelta(hours=1)) == []
    assert await found(Start.LATEST) == []


async def test_tail_goes_on_as_records_come(stack: Stack, publish: Publish, shop: Shop) -> None:
    batches = tail(stack.settings.kafka.brokers, PriceChanged.topic, Start.LATEST, follow=True)
    try:
        await asyncio.to_thread(next, batches)
        events = shop.price_events("2", "1")
        read: list[Record] = []

        async def came() -> bool:
            # Where `latest` is, is looked up after the first call: so until one comes, more are published.
            await publish(events)
            read.extend(await asyncio.to_thread(next, batches))
            return bool(ids(read, shop.prefix))

        await until(came)
    finally:
        batches.close()  # type: ignore[attr-defined]


async def test_tail_of_a_missing_topic_says_how_to_make_it(stack: Stack) -> None:
    missing = tail(stack.settings.kafka.brokers, "test-no-such-topic", Start.BEGINNING, follow=False)
    with pytest.raises(BrokerError, match="test-no-such-topic") as caught:
        await asyncio.to_thread(next, missing)
    assert "lockstep topics apply" in (caught.value.hint or "")
