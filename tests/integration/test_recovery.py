"""The worker's table on a real broker: recovered from its changelog, shared out, mended."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import faust
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from connectors.kafka import KafkaAdmin
from connectors.ordered_producer import OrderedProducer
from connectors.topic_reader import TopicReader
from ops.devstack.stack import Stack
from schemas.errors import DecodeError
from schemas.indexed_row import IndexedRow
from streams import app as app_module
from streams.app import create_app, recovered
from streams.changelog import Changelog
from streams.ports import TableEntry
from streams.tables import FaustIndexedRows, declare_table
from streams.topics import MAX_RECORD_BYTES, PARTITIONS, TABLE_NAME, TopicDeclaration

pytestmark = pytest.mark.stack

WAIT_SECONDS = 60.0


def entry(version: int, row: bytes | None = b"row") -> IndexedRow:
    return IndexedRow(
        version=version,
        lsn=None,
        source_time_ms=None,
        recipe="r",
        embedding_fingerprint="f",
        applied_at_ms=0,
        row=row,
    )


class Group:
    """A consumer group of this test alone, with its source topic and changelog."""

    def __init__(self, brokers: str, directory: Path) -> None:
        self.app_id = f"test-recovery-{uuid4().hex[:8]}"
        self.source = f"{self.app_id}-source"
        self.changelog = f"{self.app_id}-{TABLE_NAME}-changelog"
        self.taken: list[bytes] = []
        """The values that workers were given of the source topic."""
        self._brokers = brokers
        self._directory = directory

    async def create_topics(self) -> None:
        declared = [
            TopicDeclaration(
                name=name, key="k", partitions=PARTITIONS, writer="w", readers="r", config={"cleanup.policy": "compact"}
            )
            for name in (self.source, self.changelog)
        ]
        async with KafkaAdmin(self._brokers) as admin:
            await admin.wait_until_ready(30)
            await admin.apply(declared)

    def delete_topics(self) -> None:
        client = AdminClient({"bootstrap.servers": self._brokers})
        for future in client.delete_topics([self.source, self.changelog]).values():
            future.result(10)

    def write(self, records: Sequence[tuple[int, str, bytes | None]], topic: str | None = None) -> None:
        # Idempotent: a topic as new as these may refuse a batch, and take it after the next one.
        producer = Producer({"bootstrap.servers": self._brokers, "enable.idempotence": True})
        for partition, key, value in records:
            producer.produce(topic or self.changelog, partition=partition, key=key.encode(), value=value)
        assert producer.flush(WAIT_SECONDS) == 0

    def commit(self, offset: int) -> None:
        consumer = Consumer({"bootstrap.servers": self._brokers, "group.id": self.app_id})
        offsets = [TopicPartition(self.source, partition, offset) for partition in range(PARTITIONS)]
        consumer.commit(offsets=offsets, asynchronous=False)
        consumer.close()

    async def read(self, partition: int) -> list[tuple[bytes, bytes | None]]:
        async with TopicReader(self._brokers, self.changelog) as reader:
            ends = {partition: (await reader.watermarks([partition]))[partition].high}
            return [(r.key(), r.value()) async for batch in reader.read({partition: 0}, ends) for r in batch]

    @asynccontextmanager
    async def worker(self, name: str) -> AsyncIterator[tuple[faust.App, FaustIndexedRows]]:
        app = create_app(
            self.app_id,
            brokers=self._brokers,
            worker_name=name,
            partitions=PARTITIONS,
            batch_records=10,
            session_timeout_seconds=6,
            data_directory=str(self._directory / name),
            web_host="127.0.0.1",
            web_port=free_port(),
        )
        faust_table = declare_table(app)

        @app.agent(app.topic(self.source, partitions=PARTITIONS), name="note")
        async def note(stream: Any) -> None:
            async for events in stream.noack_take(10, within=0.1):
                self.taken += [event.value for event in events]

        app.finalize()
        (self._directory / name).mkdir()
        async with OrderedProducer(self._brokers, max_record_bytes=MAX_RECORD_BYTES) as producer:
            table = FaustIndexedRows(faust_table, Changelog(faust_table, producer).send)
            starting = asyncio.create_task(app.start())
            try:
                yield app, table
            finally:
                await app.stop()
                starting.cancel()


@pytest.fixture
async def group(stack: Stack, tmp_path: Path) -> AsyncIterator[Group]:
    group = Group(stack.settings.kafka.brokers, tmp_path)
    await group.create_topics()
    yield group
    group.delete_topics()


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(WAIT_SECONDS):
        while not condition():
            await asyncio.sleep(0.05)


def ready(app: faust.App, partitions: int) -> Callable[[], bool]:
    return lambda: recovered(app) and not app.rebalancing and len(app.assignor.assigned_actives()) == 2 * partitions


def recoveries(caplog: pytest.LogCaptureFixture) -> list[Any]:
    return [record for record in caplog.records if getattr(record, "action", None) == "table_recovered"]


async def test_table_holds_the_highest_version_and_the_changelog_is_mended(group: Group) -> None:
    records: list[tuple[int, str, bytes | None]] = [
        (number % PARTITIONS, f"key-{number}", entry(number + 1).to_bytes()) for number in range(3000)
    ]
    records += [(2, "key-2", None), (3, "key-3", b""), (4, "key-4", entry(9, b"high").to_bytes())]
    records += [(4, "key-4", entry(8, b"low").to_bytes()), (5, "key-5", entry(77, b"last").to_bytes())]
    group.write(records)
    async with group.worker("one") as (app, table):
        await until(ready(app, PARTITIONS))
        assert len(table) == 2998
        assert (table.get("key-2"), table.get("key-3")) == (None, None)
        assert table.get("key-4") == entry(9, b"high")
        assert table.get("key-5") == entry(77, b"last")
        assert (await group.read(4))[-1] == (b"key-4", entry(9, b"high").to_bytes())


async def test_restart_finds_what_was_put(group: Group) -> None:
    async with group.worker("one") as (app, table):
        await until(ready(app, PARTITIONS))
        await table.put([TableEntry(partition=n % PARTITIONS, key=f"key-{n}", row=entry(n + 1)) for n in range(100)])
    async with group.worker("two") as (app, table):
        await until(ready(app, PARTITIONS))
        assert len(table) == 100
        assert table.get("key-99") == entry(100)


async def test_worker_that_keeps_a_partition_reads_its_news_only(
    group: Group, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="connectors.changelog_store")
    group.write([(n % PARTITIONS, f"key-{n}", entry(n + 1).to_bytes()) for n in range(600)])
    half = PARTITIONS // 2
    async with group.worker("one") as (first, table):
        await until(ready(first, PARTITIONS))
        await table.put([TableEntry(partition=n, key=f"own-{n}", row=entry(1)) for n in range(PARTITIONS)])
        async with group.worker("two") as (second, other):
            await until(ready(first, half))
            await until(ready(second, half))
            assert (len(table), len(other)) == (303, 303)
            # The one that was there has read nothing more, not even its own entries; the one that comes read its half.
            assert sum(record.records for record in recoveries(caplog)) == 600 + 303
            keys = [f"key-{n}" for n in range(600)]
            assert all((table.get(key) is None) != (other.get(key) is None) for key in keys)
        await until(ready(first, PARTITIONS))
        assert len(table) == 606
        assert sum(record.records for record in recoveries(caplog)) == 600 + 303 + 303


async def test_marker_at_the_end_of_a_partition_is_not_waited_for(group: Group, stack: Stack) -> None:
    producer = Producer({"bootstrap.servers": stack.settings.kafka.brokers, "transactional.id": group.app_id})
    producer.init_transactions(WAIT_SECONDS)
    producer.begin_transaction()
    producer.produce(group.changelog, partition=0, key=b"key", value=entry(1).to_bytes())
    producer.commit_transaction(WAIT_SECONDS)
    async with group.worker("one") as (app, table):
        await until(ready(app, PARTITIONS))
        assert table.get("key") == entry(1)


async def test_record_that_is_no_entry_stops_the_worker_with_its_place(group: Group) -> None:
    group.write([(1, "fine", entry(1).to_bytes()), (1, "broken", b"{}")])
    async with group.worker("one") as (app, _):
        await until(lambda: app.crash_reason)
        assert isinstance(app.crash_reason, DecodeError)
        assert f"{group.changelog}[1]@1" in str(app.crash_reason)
        assert app.crash_reason.hint == "lockstep table rebuild"


@pytest.mark.parametrize("committed", [None, 0])
async def test_promise_1_what_a_rebalance_drops_of_a_partition_never_committed_is_read_again(
    group: Group, committed: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Faust goes back to what is committed; where that is nothing, or zero, aiokafka stays past what was dropped."""
    monkeypatch.setattr(app_module, "FETCH_RETURNS_WITHIN_SECONDS", 5.0)  # a slow broker must not outlast it
    if committed is not None:
        group.commit(committed)
    values = [b"%d" % number for number in range(5 * PARTITIONS)]
    group.write([(n % PARTITIONS, f"key-{n}", value) for n, value in enumerate(values)], group.source)
    async with group.worker("one") as (app, _):
        dropped: list[bytes] = []

        async def fetch(*_: Any, **__: Any) -> None:
            """As a fetch does that was under way when the rebalance began."""
            thread = cast(Any, app.consumer)._thread
            while len(dropped) < len(values):
                for records in (await thread.call_thread(thread._consumer.getmany)).values():
                    dropped.extend(record.value for record in records if record.topic == group.source)

        app.on_partitions_assigned.connect(fetch)
        await until(lambda: len(group.taken) >= len(values))
        assert sorted(group.taken) == sorted(dropped) == sorted(values)
