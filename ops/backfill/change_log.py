"""The source topic as a backfill reads it: how far it reaches, and its records between two offsets."""

from collections.abc import AsyncIterator, Mapping
from typing import Protocol

from connectors.kafka import KafkaAdmin
from connectors.topic_reader import TopicReader, record_of
from schemas.record import Record


class ChangeLog(Protocol):
    """All partitions of the source topic. Every method raises `BrokerError`."""

    async def high_watermarks(self) -> dict[int, int]:
        """One past the newest record of each partition, now."""
        ...

    def read(self, starts: Mapping[int, int], ends: Mapping[int, int]) -> AsyncIterator[list[Record]]:
        """Every record from the start of a partition up to its end, in the partition's order."""
        ...


class KafkaChangeLog:
    """`ChangeLog` on the broker."""

    def __init__(self, admin: KafkaAdmin, reader: TopicReader, topic: str) -> None:
        self._admin = admin
        self._reader = reader
        self._topic = topic

    async def high_watermarks(self) -> dict[int, int]:
        """One past the newest record of each partition, now.

        Not asked of the reader: its question would wait half a second behind each partition's fetch.
        """
        return {number: marks.high for number, marks in (await self._admin.watermarks(self._topic)).items()}

    async def read(self, starts: Mapping[int, int], ends: Mapping[int, int]) -> AsyncIterator[list[Record]]:
        """Every record from the start of a partition up to its end, in the partition's order."""
        async for messages in self._reader.read(starts, ends):
            # The reader gives what it fetched, and that may reach beyond the end.
            yield [record_of(message) for message in messages if message.offset() < ends[message.partition()]]
