"""Reads a topic from one offset to another, fast: no group, nothing committed."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self, TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from connectors.kafka import Watermarks
from connectors.kafka_errors import UNREACHABLE_HINT, broker_error, quiet
from schemas.errors import BrokerError
from schemas.record import Place, Record

STALLED_AFTER_SECONDS = 15.0
BATCH_RECORDS = 2000
BATCH_WAIT_SECONDS = 0.05
QUEUED_KILOBYTES = 4 * 1024
"""What librdkafka fetches ahead: its default of 64 MiB would stand in a worker's peak memory."""

Result = TypeVar("Result")


def record_of(message: Any) -> Record:
    """A message that is no error, as we know records."""
    return Record(
        place=Place(topic=message.topic(), partition=message.partition(), offset=message.offset()),
        key=message.key(),
        value=message.value(),
        headers=tuple((name, value or b"") for name, value in message.headers() or ()),
        timestamp_ms=max(0, message.timestamp()[1]),
    )


class TopicReader:
    """Reads partitions of a topic up to their high watermarks, all of them with one client; an async context manager.

    Every method raises `BrokerError`. The client lives on a thread of its own: the event loop goes on meanwhile, and a
    read that is cancelled never closes the client under a running call, which librdkafka does not survive.
    """

    def __init__(self, brokers: str, topic: str) -> None:
        self._brokers = brokers
        self._topic = topic
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="topic-reader")

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

    async def offsets_at(self, partitions: Iterable[int], timestamp_ms: int) -> dict[int, int]:
        """The first offset of each partition whose record is of that time or later; without one, the high watermark."""
        asked = [TopicPartition(self._topic, number, timestamp_ms) for number in partitions]
        answer = await self._call(self._consumer.offsets_for_times, asked, STALLED_AFTER_SECONDS)
        offsets = {}
        for partition in answer:
            if partition.error:
                raise broker_error(f"read {self._topic}", self._brokers, partition.error)
            # librdkafka answers OFFSET_END, which is negative, for a time after the newest record.
            found = partition.offset if partition.offset >= 0 else None
            number = partition.partition
            offsets[number] = (await self._call(self._watermarks_of, number)).high if found is None else found
        return offsets

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
            "group.id": f"{self._topic}-reader",  # it must have one; nothing is ever committed under it
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
