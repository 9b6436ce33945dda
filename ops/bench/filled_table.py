"""A worker's table as large as wanted, without the work of indexing it: its entries are put on the changelog."""

import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import chain

import orjson

from connectors.kafka import KafkaAdmin
from connectors.partitioner import partition_of_key
from connectors.postgres import DRAFT_COLUMNS
from connectors.topic_writer import NewRecord, write_records
from ops.bench.history import FIRST_LSN, FIRST_SOURCE_TIME_MS
from ops.bench.synthetic import KeyAndValue
from ops.demo.catalogue import generate_products
from ops.settings import Settings
from ops.source import look_at_source
from schemas.indexed_row import IndexedRow
from schemas.product import Product
from schemas.recipe import Recipe
from schemas.source_mark import SourceMark, source_mark_key
from streams.topics import CHANGELOG, PARTITIONS, PRODUCT_CHANGES

BEFORE_THE_LOG = -1
"""A version below that of a partition's first record, which a worker would skip otherwise."""

_LOADED_AT = datetime(2026, 11, 1, tzinfo=UTC)


def catalogue_rows(count: int, seed: int, start: int = 0) -> Iterator[Product]:
    """Rows of the made-up catalogue as Postgres would give them, from row `start` on."""
    for number, draft in enumerate(generate_products(count, seed, start), start + 1):
        columns = {name: getattr(draft, name) for name in DRAFT_COLUMNS}
        yield Product(id=number, **columns, created_at=_LOADED_AT, updated_at=_LOADED_AT)


async def fill_table(settings: Settings, rows: Iterable[Product]) -> int:
    """Write the entries that a worker leaves of these rows, older than every change; gives their bytes, keys included.

    For a changelog that is empty, or holds entries of other rows of this source topic. No worker may run.

    Raises:
        BrokerError: The topics cannot be reached, or an entry was not confirmed.
    """
    async with KafkaAdmin(settings.kafka.brokers) as admin:
        topic_id = (await look_at_source(admin)).topic_id
    mark = SourceMark(epoch=settings.worker.epoch, topic_id=topic_id)
    size = 0

    def measured() -> Iterator[NewRecord]:
        nonlocal size
        for record in entries(rows, Recipe(), now_ms=int(time.time() * 1000)):
            size += len(record.key or b"") + len(record.value or b"")
            yield record

    await write_records(settings.kafka.brokers, CHANGELOG, chain(marks(mark), measured()))
    return size


def marks(mark: SourceMark) -> Iterator[NewRecord]:
    """The source topic's mark in each partition.

    Without it a worker takes entries over an empty topic for those of a topic that is gone, and ends.
    """
    return (
        NewRecord(key=source_mark_key(number), value=mark.to_bytes(), partition=number) for number in range(PARTITIONS)
    )


def entries(rows: Iterable[Product], recipe: Recipe, *, now_ms: int) -> Iterator[NewRecord]:
    """An entry a row, in the partition that Debezium chooses for the row's records."""
    for row in rows:
        entry = IndexedRow(
            version=BEFORE_THE_LOG,
            lsn=FIRST_LSN,
            source_time_ms=FIRST_SOURCE_TIME_MS,
            recipe=recipe.recipe_id,
            embedding_fingerprint=recipe.fingerprint(recipe.render(row)),
            applied_at_ms=now_ms,
            row=row.to_bytes(),
        )
        partition = _partition(orjson.dumps({"article_id": row.article_id}))
        yield NewRecord(key=row.article_id.encode(), value=entry.to_bytes(), partition=partition)


async def publish_as_captured(brokers: str, records: Iterable[KeyAndValue]) -> None:
    """Put records on the source topic, each in the partition that Debezium chooses: that of its key's table entry.

    Raises:
        BrokerError: One was not confirmed.
    """
    await write_records(
        brokers,
        PRODUCT_CHANGES,
        (NewRecord(key=key, value=value, partition=_partition(key)) for key, value in records),
    )


def _partition(record_key: bytes) -> int:
    return partition_of_key(record_key, PARTITIONS)
