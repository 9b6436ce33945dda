"""Reads what the broker's checks judge: topics, watermarks, the group, the newest records."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass

from connectors.kafka import KafkaAdmin, Watermarks
from connectors.kafka_setup import ClusterSetup, read_cluster
from connectors.topic_plan import TopicState
from connectors.topic_reader import TopicReader, record_of
from schemas.record import Record
from streams.topics import APP_ID, DECLARATIONS, HEARTBEAT, PRODUCT_CHANGES

PATIENCE_SECONDS = 5.0
"""How long a broker that does not answer is waited for."""
NEWEST_RECORDS = 20
"""Of each partition, so many are looked at; compaction may have left fewer."""
STUCK_SECONDS = 15.0
"""A partition with lag whose committed offset does not move for so long stands still: a batch takes a second or two."""
LOOK_EVERY_SECONDS = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerSetup:
    """The cluster and those of the declared topics that exist."""

    cluster: ClusterSetup
    topics: Mapping[str, TopicState]
    heartbeat_age_seconds: float | None
    """Our clock less that of Debezium's newest heartbeat; None without any."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceSetup:
    """The source topic and the group that reads it, by partition."""

    marks: Mapping[int, Watermarks]
    committed: Mapping[int, int]
    """A partition of which nothing was committed is absent."""
    members: tuple[str, ...]
    newest: tuple[Record, ...]
    """In order within a partition."""
    stuck: Mapping[int, int]
    """Partitions with lag that stood still while we looked, and their lag in records."""

    @property
    def lag_records(self) -> int:
        """Records that are not committed yet."""
        return sum(lags(self.marks, self.committed).values())


async def read_broker(brokers: str) -> tuple[BrokerSetup, SourceSetup | None]:
    """The second is None where the source topic does not exist.

    Takes `STUCK_SECONDS` where a partition stands still; else less than a second.

    Raises:
        BrokerError: The broker cannot be reached, or refuses.
    """
    async with KafkaAdmin(brokers) as admin:
        await admin.wait_until_ready(PATIENCE_SECONDS)
        topics = await admin.describe(declared.name for declared in DECLARATIONS)
        setup = BrokerSetup(
            cluster=await read_cluster(brokers),
            topics=topics,
            heartbeat_age_seconds=await _heartbeat_age(admin, brokers) if HEARTBEAT in topics else None,
        )
        return setup, await _source(admin, brokers) if PRODUCT_CHANGES in topics else None


async def _heartbeat_age(admin: KafkaAdmin, brokers: str) -> float | None:
    beats = await _newest(brokers, HEARTBEAT, await admin.watermarks(HEARTBEAT), 1)
    return time.time() - beats[-1].timestamp_ms / 1000 if beats else None


async def _source(admin: KafkaAdmin, brokers: str) -> SourceSetup:
    # First: a commit between the two would lie past the watermark.
    committed = await admin.committed(APP_ID, PRODUCT_CHANGES)
    marks = await admin.watermarks(PRODUCT_CHANGES)
    members = await admin.members(APP_ID)
    stuck = await stuck_partitions(admin, lags(marks, committed), committed) if members else {}
    return SourceSetup(
        marks=marks,
        committed=committed,
        # Again: a worker that was killed stays in the group until its session ends, which may be by now.
        members=await admin.members(APP_ID) if stuck else members,
        newest=await _newest(brokers, PRODUCT_CHANGES, marks, NEWEST_RECORDS),
        stuck=stuck,
    )


async def _newest(brokers: str, topic: str, marks: Mapping[int, Watermarks], count: int) -> tuple[Record, ...]:
    starts = {number: max(of.low, of.high - count) for number, of in marks.items()}
    ends = {number: of.high for number, of in marks.items()}
    records: list[Record] = []
    async with TopicReader(brokers, topic) as reader:
        async for messages in reader.read(starts, ends):
            records += map(record_of, messages)
    return tuple(sorted(records, key=lambda record: record.place))


async def stuck_partitions(admin: KafkaAdmin, lag: Mapping[int, int], committed: Mapping[int, int]) -> dict[int, int]:
    """Those of the partitions with lag whose committed offset stays as it was for `STUCK_SECONDS`."""
    still = {number: records for number, records in lag.items() if records}
    until = time.monotonic() + STUCK_SECONDS
    while still and time.monotonic() < until:
        await asyncio.sleep(LOOK_EVERY_SECONDS)
        now = await admin.committed(APP_ID, PRODUCT_CHANGES)
        still = {number: records for number, records in still.items() if now.get(number) == committed.get(number)}
    return still


def lags(marks: Mapping[int, Watermarks], committed: Mapping[int, int]) -> dict[int, int]:
    """Records between what is committed and the high watermark, by partition."""
    return {number: max(0, of.high - committed.get(number, of.low)) for number, of in marks.items()}
