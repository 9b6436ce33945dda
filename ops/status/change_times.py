"""When the newest applied change, and the oldest that waits, were published: read from the topic itself."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from connectors.topic_reader import TopicReader, record_of
from ops.status.report import PartitionLag


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeTimes:
    """None where there is no such change, or where compaction took its record away."""

    newest_indexed: datetime | None = None
    oldest_waiting: datetime | None = None


async def read_change_times(brokers: str, topic: str, partitions: Sequence[PartitionLag]) -> ChangeTimes:
    """Read the record before and the record after the committed offset of each partition.

    Raises:
        BrokerError: The topic cannot be read.
    """
    committed = {of.partition: of.committed for of in partitions}
    starts = {of.partition: max(of.low_watermark, of.committed - 1) for of in partitions}
    ends = {of.partition: min(of.high_watermark, of.committed + 1) for of in partitions}
    before: list[int] = []
    after: list[int] = []
    async with TopicReader(brokers, topic) as reader:
        async for messages in reader.read(starts, ends):
            for record in map(record_of, messages):
                applied = record.place.offset < committed[record.place.partition]
                (before if applied else after).append(record.timestamp_ms)
    # A partition's records are written in the order of time, but for the clocks of several producers.
    return ChangeTimes(newest_indexed=_time(max(before, default=None)), oldest_waiting=_time(min(after, default=None)))


def _time(milliseconds: int | None) -> datetime | None:
    return None if milliseconds is None else datetime.fromtimestamp(milliseconds / 1000, UTC)
