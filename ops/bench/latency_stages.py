"""The way of one change, moment by moment, and how long each part of it took."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from ops.bench.live_changes import Shown
from schemas.errors import StackError


class Stage(StrEnum):
    """The parts of a change's way, in their order: together they are the whole."""

    CAPTURE = "capture"
    """From the commit in Postgres until Connect hands the record to its producer: WAL, Debezium, its poll interval."""
    BROKER = "broker and wait"
    """Until the worker has it in a batch whose collection is looked up: broker, fetch, earlier batches, decoding."""
    WORKER = "worker"
    """Plan, embed and write: until Qdrant has acknowledged the batch, or a reader has seen the change before that, as
    one of a price alone when the batch has texts to embed. Events, table and commit come after it."""
    READER = "reader"
    """What is left until a reader has seen it; often nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One change's moments, in seconds since the epoch, by the one clock of the machine.

    `committed` and `on_topic` are known to the millisecond, which a topic's timestamp and Debezium's source time have.
    """

    text: bool
    committed: float
    on_topic: float
    taken: float
    acknowledged: float
    """Of the whole batch."""
    seen: float

    @property
    def milliseconds(self) -> float:
        """From the commit to the reader."""
        return 1000 * (self.seen - self.committed)

    def of(self, stage: Stage) -> float:
        """Milliseconds of a part."""
        there = min(self.acknowledged, self.seen)
        begin, end = {
            Stage.CAPTURE: (self.committed, self.on_topic),
            Stage.BROKER: (self.on_topic, self.taken),
            Stage.WORKER: (self.taken, there),
            Stage.READER: (there, self.seen),
        }[stage]
        return 1000 * (end - begin)


def ways(shown: Iterable[Shown], on_topic: Mapping[str, float], searchable_at: Mapping[str, str]) -> list[Way]:
    """Join what a reader saw with the topic's times and the events' by the record's place; sorted by commit.

    Raises:
        StackError: A record, or its `indexed` event, is not among those given.
    """
    found = []
    for change in shown:
        place = change.provenance["source"]
        if place not in on_topic or place not in searchable_at:
            raise StackError(f"record {place} is on the index, but not with its event on the topics")
        found.append(
            Way(
                text=change.text,
                committed=_seconds(change.provenance["source_time"]),
                on_topic=on_topic[place],
                taken=_seconds(change.provenance["indexed_at"]),
                acknowledged=_seconds(searchable_at[place]),
                seen=change.seen_at,
            )
        )
    return sorted(found, key=lambda way: way.committed)


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
