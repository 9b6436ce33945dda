"""A Faust store that fills itself from its table's changelog with librdkafka, before Faust would read it slowly.

Faust finds it by the scheme of a table's `store=` URL, through the entry point group `faust.stores`.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self, TypeVar

import orjson
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from faust.stores import memory
from faust.types import TP, EventT

from connectors.kafka import Watermarks
from connectors.kafka_errors import UNREACHABLE_HINT, broker_error, quiet
from schemas.errors import BrokerError, DecodeError
from schemas.record import Place

logger = logging.getLogger(__name__)

STALLED_AFTER_SECONDS = 15.0
BATCH_RECORDS = 2000
BATCH_WAIT_SECONDS = 0.05
QUEUED_KILOBYTES = 4 * 1024
"""What librdkafka fetches ahead: its default of 64 MiB would stand in the worker's peak memory."""

_DEFAULT_PORT = 9092

Result = TypeVar("Result")


class ChangelogReader:
    """Reads partitions of a topic up to their high watermarks, all of them with one client; an async context manager.

    Every method raises `BrokerError`. The client lives on a thread of its own: the event loop goes on meanwhile, and a
    read that is cancelled never closes the client under a running call, which librdkafka does not survive.
    """

    def __init__(self, brokers: str, topic: str) -> None:
        self._brokers = brokers
        self._topic = topic
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="changelog")

    async def __aenter__(self) -> Self:
        self._consumer = await self._call(self._connect)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.submit(self._consumer.close)
        self._thread.shutdown(wait=False)

    async def watermarks(self, partitions: Iterable[int]) -> dict[int, Watermarks]:
        """Low and high watermark of each partition, now."""
        return {number: await self._call(self._watermarks_of, number) for number in partitions}

    async def read(self, starts: Mapping[int, int], ends: Mapping[int, int]) -> AsyncIterator[list[Any]]:
        """Every record from the start to the end of each partition, in its order; a few after the end may follow.

        A partition ends where the broker says so, not with its last record: compaction and markers leave gaps there.
        """
        behind = {number for number, start in starts.items() if start < ends[number]}
        if behind:
            await self._call(
                self._consumer.assign, [TopicPartition(self._topic, number, starts[number]) for number in behind]
            )
        heard = time.monotonic()
        while behind:
            # Any: a message that is no error has a partition, an offset and a key, which its types do not say.
            messages: list[Any] = await self._call(self._consumer.consume, BATCH_RECORDS, BATCH_WAIT_SECONDS)
            records = []
            for message in messages:
                if error := message.error():
                    if error.code() != KafkaError._PARTITION_EOF:
                        raise broker_error(f"read {self._topic}", self._brokers, error)
                    behind.discard(message.partition())
                else:
                    records.append(message)
                    if message.offset() + 1 >= ends[message.partition()]:
                        behind.discard(message.partition())
            if messages:
                heard = time.monotonic()
            elif time.monotonic() - heard > STALLED_AFTER_SECONDS:
                raise BrokerError(
                    f"cannot read {self._topic} at {self._brokers}: no record came for {STALLED_AFTER_SECONDS:.0f} s",
                    hint=UNREACHABLE_HINT,
                )
            yield records

    def _connect(self) -> Consumer:
        config = {
            "bootstrap.servers": self._brokers,
            "group.id": f"{self._topic}-recovery",  # it must have one; nothing is ever committed under it
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",
            "isolation.level": "read_uncommitted",
            "queued.max.messages.kbytes": QUEUED_KILOBYTES,
            "fetch.queue.backoff.ms": 5,  # by default a full queue stops fetching for a second
        }
        return Consumer(config, **quiet())

    def _watermarks_of(self, partition: int) -> Watermarks:
        marks = self._consumer.get_watermark_offsets(
            TopicPartition(self._topic, partition), timeout=STALLED_AFTER_SECONDS, cached=False
        )
        if marks is None:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
        low, high = marks
        return Watermarks(low=low, high=high)

    async def _call(self, function: Callable[..., Result], *arguments: Any) -> Result:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, function, *arguments)
        except KafkaException as error:
            raise broker_error(f"read {self._topic}", self._brokers, error.args[0]) from error


class ChangelogStore(memory.Store):  # type: ignore[type-arg]  # of bytes to bytes, which Faust's stores do not say
    """Entries in memory, each the highest version of its key that the changelog holds.

    A rebalance reads what is new since the last one of the partitions that stay, all of those that come, and drops the
    entries of those that go. A partition already read is kept even when the rebalance starts anew, so that a changelog
    that takes longer than the session to read is read once all the same.

    A worker that has lost its partitions may have written a lower version after a higher one. The higher one is kept
    and noted in `outdated_entries`, to be written again: compaction would leave the lower one.
    """

    logger = logging.getLogger("faust.stores.changelog")  # what every service of Faust says as it starts and stops

    def __post_init__(self) -> None:
        super().__post_init__()
        self._next_offsets: dict[int, int] = {}
        self._outdated: set[bytes] = set()

    async def on_rebalance(
        self, assigned: set[TP], revoked: set[TP], newly_assigned: set[TP], generation_id: int = 0
    ) -> None:
        """Bring the entries up to the changelog as it stands now; Faust calls it before `persisted_offset`.

        Raises:
            BrokerError: The changelog cannot be read.
            DecodeError: A record of it is no entry; the message has its place.
        """
        topic = self.table.changelog_topic.get_topic_name()
        ours = {tp.partition for tp in self.app.assignor.assigned_actives() if tp.topic == topic}
        self._forget(self._next_offsets.keys() - ours)
        if not ours:
            return
        started = time.monotonic()
        count = 0
        async with ChangelogReader(_brokers(self.app.conf.broker_consumer), topic) as reader:
            marks = await reader.watermarks(ours)
            # The changelog was cut off or made anew: what we know of it is not in it.
            self._forget({p for p, n in self._next_offsets.items() if not marks[p].low <= n <= marks[p].high})
            starts = {number: self._next_offsets.get(number, marks[number].low) for number in ours}
            ends = {number: marks[number].high for number in ours}
            async for records in reader.read(starts, ends):
                count += len(records)
                for record in records:
                    self._apply(topic, record.partition(), record.offset(), record.key(), record.value())
        for number, end in ends.items():
            self._next_offsets[number] = max(end, self._next_offsets.get(number, end))  # a gap may end it
        logger.info(
            "table recovered",
            extra={
                "action": "table_recovered",
                "partitions": sorted(ours),
                "records": count,
                "entries": len(self.data),
                "outdated": len(self._outdated),
                "seconds": round(time.monotonic() - started, 2),
            },
        )

    def persisted_offset(self, tp: TP) -> int | None:
        """The last offset of a changelog partition that the entries cover; None leaves the partition to Faust."""
        following = self._next_offsets.get(tp.partition)
        return None if following is None else following - 1

    def set_persisted_offset(self, tp: TP, offset: int) -> None:
        """Note that a record which this worker wrote stands at `offset`, so that no rebalance reads it back.

        A gap may hold somebody else's record: from there on, the next rebalance reads. A confirmation that comes after
        its partition left and came back is of a batch that will not be acknowledged, and so is written again.
        """
        if self._next_offsets.get(tp.partition) == offset:
            self._next_offsets[tp.partition] = offset + 1

    def apply_changelog_batch(
        self, batch: Iterable[EventT[Any]], to_key: Callable[[Any], Any], to_value: Callable[[Any], Any]
    ) -> None:
        """Apply what was written between our reading and Faust's look at the high watermarks."""
        try:
            for event in batch:
                message: Any = event.message  # it came from the broker, so its place is known
                # Faust may hand over late what it had read of a partition before that left.
                if message.offset >= self._next_offsets.get(message.partition, message.offset + 1):
                    self._apply(message.topic, message.partition, message.offset, message.key, message.value)
        except DecodeError as error:
            # Faust would log it as a warning and go on without the entry.
            self.add_future(self.crash(error))

    def remember(self, partition: int, key: bytes, value: bytes) -> None:
        """Set the entry of a key whose changelog record goes to `partition`."""
        self.data[key] = value
        self._key_partition[key] = partition

    def outdated_entries(self) -> list[tuple[int, bytes, bytes]]:
        """Partition, key and entry of the keys whose last changelog record is older than their entry."""
        return [(self._key_partition[key], key, self.data[key]) for key in self._outdated]

    def note_rewritten(self, keys: Collection[bytes]) -> None:
        """Say that the changelog ends with the entries of these keys again."""
        self._outdated.difference_update(keys)

    def _apply(self, topic: str, partition: int, offset: int, key: bytes | None, value: bytes | None) -> None:
        try:
            if key is None:
                raise ValueError("a table's record has a key")
            self._keep_highest(partition, key, value)
        except ValueError as error:
            place = Place(topic=topic, partition=partition, offset=offset)
            raise DecodeError(
                f"cannot recover the table: {place} is not an indexed row", hint="lockstep table rebuild"
            ) from error
        self._next_offsets[partition] = offset + 1

    def _keep_highest(self, partition: int, key: bytes, value: bytes | None) -> None:
        if not value:
            self.data.pop(key, None)
            self._key_partition.pop(key, None)
            self._outdated.discard(key)
            return
        version = _version(value)
        known = self.data.get(key)
        if known is not None and version < _version(known):
            self._outdated.add(key)
            return
        self.remember(partition, key, value)
        self._outdated.discard(key)

    def _forget(self, partitions: Collection[int]) -> None:
        gone = set(partitions)
        if not gone:
            return
        for key in [key for key, partition in self._key_partition.items() if partition in gone]:
            self.data.pop(key, None)
            del self._key_partition[key]
            self._outdated.discard(key)
        for partition in gone:
            del self._next_offsets[partition]


def _version(value: bytes) -> int:
    """The version of an `IndexedRow` in bytes, from its first line alone. Raises `ValueError` for anything else."""
    head = orjson.loads(value[: value.index(b"\n")])
    if not isinstance(head, list) or not head or type(head[0]) is not int:
        raise ValueError("an indexed row starts with its version")
    return head[0]


def _brokers(urls: Iterable[Any]) -> str:
    return ",".join(f"{url.host}:{url.port or _DEFAULT_PORT}" for url in urls)
