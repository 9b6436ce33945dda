"""Makes sure that the source topic is the one whose offsets the table's versions are, before a record of it is applied.

Offsets of a topic made anew start at zero again: its changes would all count as older than what is indexed, and be
skipped. So each partition of the table carries a mark with the topic's id and the epoch, and a worker whose epoch does
not count above an older topic ends with the epoch that does.
"""

import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Protocol, Self

from schemas.errors import SettingsError
from schemas.record import OFFSET_BITS
from schemas.source_mark import SourceMark

logger = logging.getLogger(__name__)

EPOCH = "LOCKSTEP_WORKER_EPOCH"
_OFFSET_MASK = (1 << OFFSET_BITS) - 1


class SourceVerdict(Enum):
    """What a partition's mark calls for."""

    GO_ON = auto()
    MARK = auto()
    """Write the mark, then go on: a table that had none, or an epoch that the operator raised."""
    READ_ANEW = auto()
    """Another topic, under a higher epoch: read it from its low watermark, then as `MARK`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceTopic:
    """The topic as the broker has it: `topic_id` is "" where brokers have none, watermarks are by partition."""

    name: str
    topic_id: str
    low: Mapping[int, int]
    high: Mapping[int, int]
    committed: Mapping[int, int] = field(default_factory=dict)
    """The next offsets that the group reads; a partition without a commit is absent."""

    def lost_tail(self, partition: int) -> bool:
        """Whether records that the group has handled are gone from the log's end, and others take their offsets."""
        return self.committed.get(partition, 0) > self.high[partition]

    def replaces(self, earlier: Self) -> bool:
        """Whether this is another topic than the one looked at before, under the same name."""
        return self.topic_id != earlier.topic_id or any(self.high[p] < high for p, high in earlier.high.items())


class Marks(Protocol):
    """The table, as far as the source topic's identity needs it."""

    def get(self, partition: int) -> SourceMark | None:
        """The mark of a partition that is ours."""
        ...

    async def put(self, marks: Mapping[int, SourceMark]) -> None:
        """Remember marks, by partition; returns once the broker has confirmed them. Raises `BrokerError`."""
        ...

    def newest_versions(self) -> Mapping[int, int]:
        """The highest version of each partition's rows; looks at every row."""
        ...


def judge_source(
    mark: SourceMark | None, *, topic: str, topic_id: str, epoch: int, newest: int | None, high: int
) -> SourceVerdict:
    """Decide whether a worker of this epoch may apply records of the topic over the table of a partition.

    `newest` is the highest version of the partition's rows. It tells a topic made anew where an id is missing: a high
    watermark that does not reach past it. An empty partition of the table shows nothing, and needs to show nothing.

    Raises:
        SettingsError: Another epoch is needed; the message says why, the hint which.
    """
    marked = mark.epoch if mark else 0
    reached = marked if newest is None else max(marked, newest >> OFFSET_BITS)
    if epoch < reached:
        raise SettingsError(
            f"{EPOCH} is {epoch}, and the table has seen epoch {reached}: every change would count as outdated",
            hint=f"set {EPOCH}={reached}",
        )
    if mark and mark.topic_id and topic_id:
        made_anew = mark.topic_id != topic_id
    else:
        # Rows of an epoch before the mark's say nothing of the topic that it marks.
        made_anew = newest is not None and newest >> OFFSET_BITS >= marked and newest & _OFFSET_MASK >= high
    if made_anew and epoch == reached:
        raise SettingsError(
            f"topic {topic} was made anew: its offsets start again, and its changes would count as outdated",
            hint=f"raise {EPOCH} to {reached + 1}, the same for every worker",
        )
    if made_anew:
        return SourceVerdict.READ_ANEW
    return SourceVerdict.GO_ON if mark == SourceMark(epoch=epoch, topic_id=topic_id) else SourceVerdict.MARK


@dataclass(slots=True, kw_only=True)
class SourceGuard:
    """Checks the topic against the table's marks, and brings them up to date."""

    marks: Marks
    look: Callable[[], Awaitable[SourceTopic]]
    epoch: int

    async def check(
        self, partitions: Iterable[int], read_from: Callable[[Mapping[int, int]], Awaitable[None]]
    ) -> SourceTopic:
        """Return, with the topic that was found, when the records of these partitions may be applied.

        `read_from` makes the group read each partition from an offset. It is called before a mark says that the topic
        is known: a crash between the two reads the topic anew once more, and loses nothing.

        Raises:
            SettingsError: The operator must set another epoch.
            BrokerError: The topic cannot be looked at, or a mark is not confirmed.
        """
        source = await self.look()
        known = {partition: self.marks.get(partition) for partition in partitions}
        # Each row is looked at only where the ids do not decide: that takes two seconds for a million of them.
        decided = source.topic_id and all(mark and mark.topic_id for mark in known.values())
        newest = {} if decided else self.marks.newest_versions()
        verdicts = {p: self._judge(source, p, mark, newest.get(p)) for p, mark in known.items()}
        if SourceVerdict.READ_ANEW in verdicts.values():
            # Without ids a partition may not show it, but all of a topic are made anew together.
            anew = [partition for partition, verdict in verdicts.items() if verdict is not SourceVerdict.GO_ON]
            await read_from({partition: source.low[partition] for partition in anew})
            logger.warning(
                "source topic was made anew: reading it from its beginning",
                extra={"action": "source_read_anew", "topic": source.name, "epoch": self.epoch, "partitions": anew},
            )
        mark = SourceMark(epoch=self.epoch, topic_id=source.topic_id)
        await self.marks.put({p: mark for p, verdict in verdicts.items() if verdict is not SourceVerdict.GO_ON})
        return source

    def _judge(self, source: SourceTopic, partition: int, mark: SourceMark | None, newest: int | None) -> SourceVerdict:
        high = source.high[partition]
        verdict = judge_source(
            mark, topic=source.name, topic_id=source.topic_id, epoch=self.epoch, newest=newest, high=high
        )
        if verdict is SourceVerdict.READ_ANEW or not source.lost_tail(partition):
            return verdict
        if mark is None or mark.epoch >= self.epoch:
            raise SettingsError(
                f"topic {source.name} has lost its tail: partition {partition} ends at {high}, and "
                f"{source.committed[partition]} is committed: new changes would count as outdated",
                hint=f"raise {EPOCH} to {self.epoch + 1}, the same for every worker",
            )
        return SourceVerdict.READ_ANEW
