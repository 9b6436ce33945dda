"""Removes orphans through the log: a tombstone on the source topic, so that table, topic and index agree about them."""

from collections.abc import Mapping, Sequence

from connectors.kafka import KafkaAdmin, Watermarks
from connectors.partitioner import partition_of_key
from connectors.qdrant_audit import SeenPoint
from connectors.topic_reader import TopicReader, record_of
from connectors.topic_writer import NewRecord, write_records
from schemas.debezium import ORPHAN_HEADER, decode_key, encode_key
from schemas.errors import DecodeError
from schemas.record import Place, Record
from streams.topics import PRODUCT_CHANGES


class Tombstones:
    """The source topic, as far as orphans go. Every method raises `BrokerError`."""

    def __init__(self, brokers: str, admin: KafkaAdmin) -> None:
        self._brokers = brokers
        self._admin = admin

    async def high_watermarks(self) -> dict[int, int]:
        """How far each partition reaches now."""
        return {number: marks.high for number, marks in (await self._admin.watermarks(PRODUCT_CHANGES)).items()}

    async def write(self, orphans: Sequence[SeenPoint], seen: dict[int, int]) -> None:
        """Write a tombstone for each orphan, which must have a key; returns once the broker has confirmed them.

        `seen` are the high watermarks before Postgres had no row of these keys: a worker passes a tombstone over once
        it has met a change of the key that stands behind them, since then the row has come back.
        """
        records = []
        marks = await self._admin.watermarks(PRODUCT_CHANGES)
        async with TopicReader(self._brokers, PRODUCT_CHANGES) as reader:
            for orphan in orphans:
                key, partition = await _address(orphan, marks, reader)
                header = (ORPHAN_HEADER, str(seen[partition]).encode())
                records.append(NewRecord(key=key, value=None, headers=(header,), partition=partition))
        await write_records(self._brokers, PRODUCT_CHANGES, records)


async def _address(orphan: SeenPoint, marks: Mapping[int, Watermarks], reader: TopicReader) -> tuple[bytes, int]:
    """The key's bytes and partition as Debezium has them, or as the record has them that the point was made from.

    What a point says of its record is believed only where that record bears it out.
    """
    if orphan.key is None:
        raise ValueError(f"no key in {orphan}")
    key = encode_key(orphan.key)
    partition = partition_of_key(key, len(marks))
    place = _place(orphan.source)
    if place is None or place.topic != PRODUCT_CHANGES or place.partition == partition:
        return key, partition
    mark = marks.get(place.partition)
    if mark is None or not mark.low <= place.offset < mark.high:
        return key, partition
    record = await _record_at(place, reader)
    if record is None or record.key is None or not _names(record, orphan.key):
        return key, partition
    return record.key, place.partition


async def _record_at(place: Place, reader: TopicReader) -> Record | None:
    """The record of a place; None where compaction took it away."""
    starts, ends = {place.partition: place.offset}, {place.partition: place.offset + 1}
    found = None
    async for messages in reader.read(starts, ends):
        for message in messages:
            if message.partition() == place.partition and message.offset() == place.offset:
                found = record_of(message)
    return found


def _place(source: str | None) -> Place | None:
    try:
        return Place.parse(source or "")
    except ValueError:
        return None


def _names(record: Record, key: str) -> bool:
    try:
        return decode_key(record) == key
    except DecodeError:
        return False
