"""A Faust store that fills itself from its table's changelog with librdkafka, before Faust would read it slowly.

Faust finds it by the scheme of a table's `store=` URL, through the entry point group `faust.stores`.
"""

import logging
import time
from collections.abc import Callable, Collection, Iterable
from typing import Any

import orjson
from faust.stores import memory
from faust.types import TP, EventT

from connectors.topic_reader import TopicReader
from schemas.errors import DecodeError
from schemas.record import Place, Stretch

logger = logging.getLogger(__name__)

_DEFAULT_PORT = 9092


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
        async with TopicReader(_brokers(self.app.conf.broker_consumer), topic) as reader:
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

    async def on_recovery_completed(self, active_tps: set[TP], standby_tps: set[TP]) -> None:
        """Keep what `on_rebalance` read: Faust's store drops entries here by an assignment that may be over by now."""

    def persisted_offset(self, tp: TP) -> int | None:
        """The last offset of a changelog partition that the entries cover; None leaves the partition to Faust."""
        following = self._next_offsets.get(tp.partition)
        return None if following is None else following - 1

    def note_written(self, stretch: Stretch) -> None:
        """Note what this worker wrote, so that no rebalance reads it back.

        A gap may hold somebody else's record: from there on, the next rebalance reads. A confirmation that comes after
        its partition left and came back is of a batch that will not be acknowledged, and so is written again.
        """
        if self._next_offsets.get(stretch.partition) == stretch.last - stretch.count + 1:
            self._next_offsets[stretch.partition] = stretch.last + 1

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

    def partition_of(self, key: bytes) -> int | None:
        """Where the entry of a key has its changelog record; None without an entry."""
        return self._key_partition.get(key)

    def forget(self, key: bytes) -> int:
        """Drop the entry of a key; gives the partition that its tombstone goes to."""
        del self.data[key]
        self._outdated.discard(key)
        return self._key_partition.pop(key)

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
