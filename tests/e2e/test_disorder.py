"""Disorder in the source: rows read again, changes delivered twice, a slot that is lost, values that are not sent."""

import asyncio
import secrets
import signal
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any, Self

import asyncpg
import pytest

from connectors.debezium.config import CONNECTOR_NAME, SLOT_NAME
from connectors.debezium.connect import ConnectClient
from connectors.debezium.signals import EXECUTE_SNAPSHOT
from connectors.topic_reader import TopicReader
from ops.commands.connector import apply_connector
from ops.devstack.postgres import DATABASE
from ops.reconcile import ReconcileReport, reconcile
from schemas.change import Change, Operation
from schemas.debezium import UNAVAILABLE, decode_change
from schemas.record import Place, Record
from streams.topics import NOTIFICATIONS, PARTITIONS, PRODUCT_CHANGES
from tests.e2e.conftest import Running

pytestmark = pytest.mark.stack

CONNECT_OFFSETS = "_connect-offsets"
WHOLE_TABLE = '{"type": "incremental", "data-collections": ["public.products"]}'


class Since:
    """What came on a topic since a moment."""

    def __init__(self, running: Running, topic: str, partitions: int) -> None:
        self._brokers = running.stack.settings.kafka.brokers
        self._prefix = running.prefix
        self._topic = topic
        self._partitions = range(partitions)
        self._starts: dict[int, int] = {}

    @classmethod
    async def now(cls, running: Running, topic: str = PRODUCT_CHANGES, partitions: int = PARTITIONS) -> Self:
        since = cls(running, topic, partitions)
        since._starts = await since._ends()
        return since

    async def _ends(self) -> dict[int, int]:
        async with TopicReader(self._brokers, self._topic) as reader:
            return {p: marks.high for p, marks in (await reader.watermarks(self._partitions)).items()}

    async def count(self) -> int:
        return sum((await self._ends()).values()) - sum(self._starts.values())

    async def records(self) -> list[Record]:
        ends = await self._ends()
        async with TopicReader(self._brokers, self._topic) as reader:
            return [
                Record(
                    place=Place(topic=message.topic(), partition=message.partition(), offset=message.offset()),
                    key=message.key(),
                    value=message.value(),
                    headers=tuple(message.headers() or ()),
                )
                async for batch in reader.read(self._starts, ends)
                for message in batch
            ]

    async def changes(self) -> list[Change]:
        """Of the test's own rows."""
        changes = (decode_change(record, epoch=0) for record in await self.records())
        return [change for change in changes if change.key.startswith(self._prefix)]


async def stats(running: Running) -> dict[str, Any]:
    page = await running.worker()
    assert page is not None
    return page


@asynccontextmanager
async def meanwhile(step: Callable[[int], Awaitable[None]]) -> AsyncIterator[None]:
    """Take one step after the other, numbered from 1, for as long as the block lasts."""
    ended = asyncio.Event()

    async def go_on() -> None:
        number = 0
        while not ended.is_set():
            number += 1
            await step(number)

    steps = asyncio.create_task(go_on())
    try:
        yield
    finally:
        ended.set()
        await steps


async def settle(running: Running) -> None:
    """Wait until the pipeline has come to now; a row that changes meanwhile, because a quiet source takes 10 s."""

    async def beat(number: int) -> None:
        await running.sql(
            "INSERT INTO products (article_id, name, price) VALUES ($1, 'Pulse', $2) "
            "ON CONFLICT (article_id) DO UPDATE SET price = excluded.price",
            running.key("pulse"),
            Decimal(number),
        )
        await running.until_payload(running.key("pulse"), price_text=f"{number}.00")

    async with meanwhile(beat):
        await running.pipeline.settle()


async def compare(running: Running) -> ReconcileReport:
    await settle(running)
    return await reconcile(running.rows, running.store, settle=lambda: settle(running))


async def in_sync(running: Running) -> None:
    report = await compare(running)
    assert report.in_sync, report


async def test_promise_3_table_read_again_while_rows_change_embeds_nothing_twice(running: Running) -> None:
    quiet = [await running.insert(f"quiet-{n}") for n in range(40)]
    busy = [await running.insert(f"busy-{n}") for n in range(30)]
    doomed = [await running.insert(f"doomed-{n}") for n in range(30)]
    await settle(running)
    letters = len(running.dead_letters())
    before = await stats(running)
    since = await Since.now(running)
    notices = await Since.now(running, NOTIFICATIONS, 1)
    new_texts = 0

    async def change_something(number: int) -> None:
        nonlocal new_texts
        tens, ones = divmod(number, 10)
        if ones == 1:
            await running.insert(f"new-{number}")
            new_texts += 1
        elif ones == 2 and tens < len(busy):
            await running.sql("UPDATE products SET name = $2 WHERE article_id = $1", busy[tens], f"Tank top {tens}")
            new_texts += 1
        elif ones == 3 and tens < len(doomed):
            await running.sql("DELETE FROM products WHERE article_id = $1", doomed[tens])
        else:
            key = busy[number % len(busy)]
            await running.sql("UPDATE products SET price = $2 WHERE article_id = $1", key, Decimal(number))

    async def snapshot_is_complete() -> bool:
        values = [record.value or b"" for record in await notices.records()]
        return any(b"Incremental Snapshot" in value and b"COMPLETED" in value for value in values)

    async with meanwhile(change_something):
        await running.until_payload(running.key("new-11"))
        signal_row = (running.prefix, EXECUTE_SNAPSHOT, WHOLE_TABLE)
        await running.sql("INSERT INTO debezium_signal (id, type, data) VALUES ($1, $2, $3)", *signal_row)
        await running.until(snapshot_is_complete)

    await in_sync(running)
    changes = await since.changes()
    read_again = {change.key for change in changes if change.operation is Operation.SNAPSHOT_READ}
    assert read_again >= set(quiet)
    assert {Operation.CREATE, Operation.UPDATE, Operation.DELETE} <= {change.operation for change in changes}
    after = await stats(running)
    assert after["embeddings_made"] - before["embeddings_made"] == new_texts
    assert len(running.dead_letters()) == letters


async def test_promise_2_changes_delivered_again_after_connect_was_killed_change_nothing(running: Running) -> None:
    keys = [await running.insert(f"A{n}", price=Decimal(0)) for n in range(3)]
    await settle(running)
    letters = len(running.dead_letters())
    before = await stats(running)
    since = await Since.now(running)
    seen: list[Decimal] = []

    async def raise_a_price(number: int) -> None:
        key = keys[number % len(keys)]
        await running.sql("UPDATE products SET price = $2 WHERE article_id = $1", key, Decimal(number))
        payload = await running.payload(keys[0])
        assert payload is not None
        seen.append(Decimal(payload["price_text"]))

    flushes = await Since.now(running, CONNECT_OFFSETS, 1)
    flushed = (0, 0)

    async def many_came_since_connect_stored_its_position() -> bool:
        """Connect stores it every second: what came after that comes again."""
        nonlocal flushed
        times, records = await flushes.count(), await since.count()
        if times != flushed[0]:
            flushed = times, records
        return times > 0 and records - flushed[1] > 4 * len(keys)

    async def delivered_again() -> set[tuple[str, int | None]]:
        times = Counter((change.key, change.lsn) for change in await since.changes())
        return {change for change, count in times.items() if count > 1}

    async with meanwhile(raise_a_price):
        await running.until(many_came_since_connect_stored_its_position)
        await running.stack.kill("connect", signal.SIGKILL)
        await running.stack.restart("connect")
        assert await running.until(delivered_again)

    await in_sync(running)
    after = await stats(running)
    assert seen == sorted(seen)
    assert after["actions"]["skip"] - before["actions"]["skip"] >= too_late(await since.changes())
    assert after["embeddings_made"] == before["embeddings_made"]
    assert len(running.dead_letters()) == letters


def too_late(changes: list[Change]) -> int:
    """How many have an lsn below that of an earlier change of their key."""
    newest: Counter[str] = Counter()
    count = 0
    for change in changes:
        lsn = change.lsn or 0
        count += lsn < newest[change.key]
        newest[change.key] = max(lsn, newest[change.key])
    return count


async def test_lost_slot_leaves_the_deleted_row_as_the_only_difference(running: Running) -> None:
    kept, changed, gone = [await running.insert(name) for name in ("kept", "changed", "gone")]
    await in_sync(running)
    stack = running.stack
    try:
        async with ConnectClient(stack.settings.connect.url) as connect:
            assert await connect.remove(CONNECTOR_NAME)
        await drop_slot(running)
        new = await running.insert("new")
        await running.sql("UPDATE products SET name = 'Tank top', price = 5 WHERE article_id = $1", changed)
        await running.sql("DELETE FROM products WHERE article_id = $1", gone)
    finally:
        await apply_connector(stack.settings)

    await running.until_payload(new)
    await running.until_payload(changed, name="Tank top", price_text="5.00")
    report = await compare(running)
    assert (report.missing.count, report.stale.count, report.orphaned.count) == (0, 0, 1)
    assert report.orphaned.examples == [gone]
    assert await running.payload(kept)

    # A row that comes back under the key takes the ghost's place, and its delete takes it away.
    await running.insert("gone", price=Decimal(7))
    await running.until_payload(gone, price_text="7.00")
    await running.sql("DELETE FROM products WHERE article_id = $1", gone)
    await in_sync(running)


async def drop_slot(running: Running) -> None:
    """As soon as the connector has let go of it."""
    admin = await asyncpg.connect(running.stack.admin_dsn, database=DATABASE)
    try:

        async def is_free() -> bool:
            query = "SELECT NOT active FROM pg_replication_slots WHERE slot_name = $1"
            return bool(await admin.fetchval(query, SLOT_NAME))

        await running.until(is_free)
        await admin.execute("SELECT pg_drop_replication_slot($1)", SLOT_NAME)
    finally:
        await admin.close()


@asynccontextmanager
async def replica_identity(running: Running, identity: str) -> AsyncIterator[None]:
    admin = await asyncpg.connect(running.stack.admin_dsn, database=DATABASE)
    try:
        await admin.execute(f"ALTER TABLE products REPLICA IDENTITY {identity}")
        yield
    finally:
        await admin.execute("ALTER TABLE products REPLICA IDENTITY FULL")
        await admin.close()


@pytest.mark.parametrize(
    ("identity", "value_is_sent"),
    [("FULL", True), ("USING INDEX products_article_id_key", False)],
    ids=["identity full", "identity index"],
)
async def test_promise_3_unchanged_big_value_is_kept_and_not_embedded(
    running: Running, identity: str, value_is_sent: bool
) -> None:
    description = secrets.token_hex(10_000)  # stored beside the row: it is above 8 kB, and cannot be compressed
    async with replica_identity(running, identity):
        key = await running.insert("big", description=description, price=Decimal(1))
        await settle(running)
        before = await stats(running)
        since = await Since.now(running)
        await running.sql("UPDATE products SET price = 2 WHERE article_id = $1", key)
        payload = await running.until_payload(key, price_text="2.00")
    assert payload["description"] == description
    [record] = [record for record in await since.records() if key.encode() in (record.key or b"")]
    assert record.value is not None
    assert (UNAVAILABLE.encode() not in record.value) == value_is_sent
    after = await stats(running)
    assert after["embeddings_made"] == before["embeddings_made"]
    await in_sync(running)
