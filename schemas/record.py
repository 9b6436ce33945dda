"""A Kafka record as we receive it or send it, and the place where it stands."""

from dataclasses import dataclass
from typing import Protocol, Self

OFFSET_BITS = 40
"""Bits of a version that hold the offset; the epoch stands above them."""

MAX_EPOCH = (1 << 10) - 1
"""Versions stay under 2^50: above that, Qdrant's range filters over REST are not exact."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Place:
    """Where a record stands; prints as `topic[partition]@offset`."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}[{self.partition}]@{self.offset}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what `str` gives. Raises `ValueError` for anything else."""
        topic, _, rest = text.partition("[")
        partition, _, offset = rest.partition("]@")
        return cls(topic=topic, partition=int(partition), offset=int(offset))

    def version(self, epoch: int) -> int:
        """The order of a row's changes as one integer: `epoch * 2^40 + offset`.

        Comparable between records of one key, which share a partition. The operator raises the epoch when the topic
        is made anew, so that its offsets count above those of the old one.
        """
        return (epoch << OFFSET_BITS) + self.offset


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """Key, value and headers as the broker stores them; `timestamp_ms` is the broker's or the producer's, UTC."""

    place: Place
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()
    timestamp_ms: int = 0

    def header(self, name: str) -> bytes | None:
        """The last header of that name: Debezium repeats names on tombstones."""
        for key, value in reversed(self.headers):
            if key == name:
                return value
        return None


class OutgoingRecord(Protocol):
    """A record to publish, to a partition that is chosen already; without a body it is a tombstone."""

    @property
    def topic(self) -> str: ...  # noqa: D102  # all four as in `Record`
    @property
    def partition(self) -> int: ...  # noqa: D102
    @property
    def key(self) -> bytes: ...  # noqa: D102
    @property
    def body(self) -> bytes | None: ...  # noqa: D102

    def headers(self) -> list[tuple[str, bytes]]:
        """Name and value of each."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """Records that were written to a partition together: how many, and the offset of the last."""

    topic: str
    partition: int
    count: int
    last: int
