"""What a subscriber of the fan-out topics sees while the worker is killed: by id, exactly what Postgres committed."""

import asyncio
import signal
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from random import Random

import orjson
import pytest
from jsonschema import Draft202012Validator

import schemas
from connectors.topic_reader import TopicReader, record_of
from schemas.fanout_event import (
    EventData,
    FanoutEvent,
    PriceChanged,
    ProductChanged,
    ProductIndexed,
    ProductRemoved,
    ProductRow,
)
from schemas.record import Place
from streams.topics import PARTITIONS, PRODUCT_CHANGES
from tests.e2e.conftest import WORKER, Running

pytestmark = pytest.mark.stack

KILLS = 3
CHANGES_FOR_EACH = 600
KEYS = 40
SEED = 5

Prices = list[Decimal | None]
"""The states of a row, one after the other, by a price that is never the same twice; None while there is no row."""


@dataclass
class Shop:
    """Commits changes to rows of its own, one at a time, and remembers what became of each row."""

    running: Running
    random: Random = field(default_factory=lambda: Random(SEED))
    committed: dict[str, Prices] = field(default_factory=dict)
    changes: int = 0

    async def change_rows(self, count: int) -> None:
        for _ in range(count):
            await self._change(self.running.key(f"F{self.random.randrange(KEYS)}"))

    async def _change(self, key: str) -> None:
        self.changes += 1
        price = Decimal(self.changes) / 100
        states = self.committed.setdefault(key, [None])
        if states[-1] is None:
            await self.running.sql(
                "INSERT INTO products (article_id, name, price) VALUES ($1, 'Strap top', $2)", key, price
            )
        elif self.random.random() < 0.15:
            await self.running.sql("DELETE FROM products WHERE article_id = $1", key)
            states.append(None)
            return
        else:
            await self.running.sql("UPDATE products SET price = $2 WHERE article_id = $1", key, price)
        states.append(price)


def contract(name: str) -> Draft202012Validator:
    """The published JSON Schema of that name."""
    return Draft202012Validator(orjson.loads((CONTRACTS / f"{name}.json").read_bytes()))


CONTRACTS = Path(schemas.__file__).parent / "json"
HEADERS = contract("event-headers")


class Subscriber:
    """Reads a topic from where it ended when the test began, keeps the test's own events, and drops repeats by id."""

    def __init__(self, running: Running, model: type[EventData]) -> None:
        self._running = running
        self._model = model
        self._contract = contract(model.topic)
        self.repeats = 0

    async def subscribe(self) -> None:
        async with self._reader() as reader:
            self._starts = {number: mark.high for number, mark in (await reader.watermarks(range(PARTITIONS))).items()}

    async def length(self) -> int:
        """How many events, of anybody's rows and repeats too, have come since."""
        async with self._reader() as reader:
            marks = await reader.watermarks(range(PARTITIONS))
        return sum(mark.high - self._starts[number] for number, mark in marks.items())

    async def events(self) -> list[FanoutEvent]:
        """Each event once, in the order of its partition."""
        seen: dict[str, FanoutEvent] = {}
        async for event in self._read():
            first = seen.setdefault(event.id, event)
            if first is event:
                continue
            self.repeats += 1
            if self._model is not ProductIndexed:
                assert first.data == event.data
        return list(seen.values())

    async def _read(self) -> AsyncIterator[FanoutEvent]:
        async with self._reader() as reader:
            ends = {number: mark.high for number, mark in (await reader.watermarks(range(PARTITIONS))).items()}
            async for messages in reader.read(self._starts, ends):
                for message in messages:
                    self._contract.validate(orjson.loads(message.value()))
                    HEADERS.validate({name: value.decode() for name, value in message.headers()})
                    event = FanoutEvent.from_record(record_of(message))
                    assert message.key() == event.data.article_id.encode()
                    if event.data.article_id.startswith(self._running.prefix):
                        yield event

    def _reader(self) -> TopicReader:
        return TopicReader(self._running.stack.settings.kafka.brokers, self._model.topic)


def price_of(row: ProductRow | None) -> Decimal | None:
    return None if row is None or row["price"] is None else Decimal(row["price"])


def by_key(events: Iterable[FanoutEvent]) -> dict[str, list[FanoutEvent]]:
    found: dict[str, list[FanoutEvent]] = {}
    for event in events:
        found.setdefault(event.data.article_id, []).append(event)
    return found


async def subscribed(running: Running, *models: type[EventData]) -> list[Subscriber]:
    subscribers = [Subscriber(running, model) for model in models]
    for subscriber in subscribers:
        await subscriber.subscribe()
    return subscribers


async def test_promise_1_subscriber_sees_every_change_once_in_order_while_the_worker_is_killed(
    running: Running,
) -> None:
    await running.pipeline.settle()
    changed, prices, removed, indexed = await subscribed(
        running, ProductChanged, PriceChanged, ProductRemoved, ProductIndexed
    )
    shop = Shop(running)
    for _ in range(KILLS):
        changing = asyncio.create_task(shop.change_rows(CHANGES_FOR_EACH))
        before = await changed.length()

        async def events_come(known: int = before) -> bool:
            return await changed.length() > known

        # In the middle of a batch: its events are there, its table entries perhaps not yet.
        await running.until(events_come)
        await running.stack.kill(WORKER, signal.SIGKILL)
        await running.stack.restart(WORKER)
        await changing
    await running.pipeline.settle()

    told = by_key(await changed.events())
    assert told.keys() == shop.committed.keys()
    for key, states in shop.committed.items():
        rows = [event.data for event in told[key] if isinstance(event.data, ProductChanged)]
        assert [price_of(row.after) for row in rows] == states[1:]
        assert [price_of(row.before) for row in rows] == states[:-1]
        assert [row.version for row in rows] == sorted(row.version for row in rows)
        assert {Place.parse(row.source).topic for row in rows} == {PRODUCT_CHANGES}
        assert {Place.parse(row.source).partition for row in rows} == {told[key][0].partition}

    told = by_key(await prices.events())
    for key, states in shop.committed.items():
        wanted = [(old, new) for old, new in pairwise(states) if old is not None and new is not None]
        events = [event.data for event in told.get(key, []) if isinstance(event.data, PriceChanged)]
        assert [(Decimal(e.old_price or 0), Decimal(e.new_price or 0)) for e in events] == wanted

    told = by_key(await removed.events())
    for key, states in shop.committed.items():
        wanted_rows = [old for old, new in pairwise(states) if new is None]
        rows_gone = [event.data.row for event in told.get(key, []) if isinstance(event.data, ProductRemoved)]
        assert [price_of(row) for row in rows_gone] == wanted_rows

    told = by_key(await indexed.events())
    for key, states in shop.committed.items():
        if states[-1] is not None:
            payload = await running.payload(key)
            assert payload is not None
            assert max(event.data.version for event in told[key]) == payload["_lockstep"]["version"]


async def test_event_reaches_a_subscriber_with_everything_it_says(running: Running) -> None:
    changed, removed = await subscribed(running, ProductChanged, ProductRemoved)
    key = await running.insert("E", price=Decimal("19.90"), color="Black")
    await running.sql("UPDATE products SET price = 9.90, color = 'Red' WHERE article_id = $1", key)
    await running.sql("DELETE FROM products WHERE article_id = $1", key)
    await running.pipeline.settle()
    assert await running.payload(key) is None
    created, updated, deleted = [e.data for e in await changed.events() if isinstance(e.data, ProductChanged)]
    assert [e.operation for e in (created, updated, deleted)] == ["create", "update", "delete"]
    assert created.before is None
    assert updated.before == created.after
    assert deleted.before == updated.after
    assert deleted.after is None
    assert updated.changed_fields == ("color", "price")
    assert updated.after is not None
    assert (updated.after["price"], updated.after["color"]) == ("9.90", "Red")
    assert updated.committed_at is not None
    assert created.lsn is not None
    assert updated.lsn is not None
    assert updated.lsn > created.lsn
    [gone] = [e.data for e in await removed.events() if isinstance(e.data, ProductRemoved)]
    assert gone.row == updated.after
