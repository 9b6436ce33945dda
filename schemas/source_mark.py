"""What the worker remembers of the source topic: a reserved entry in each partition of `indexed-rows`."""

from dataclasses import dataclass
from typing import Self

import orjson

from schemas.errors import DecodeError
from schemas.record import OFFSET_BITS

RESERVED_PREFIX = b"\x00"
"""How the key of an entry that is no row begins: Postgres stores no text with a NUL, so no article_id does."""


_BODY = b"source"
"""Stands where a row would: an entry without one counts as deleted."""


def source_mark_key(partition: int) -> bytes:
    """The key of a partition's mark."""
    return RESERVED_PREFIX + f"source/{partition}".encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceMark:
    """The topic whose offsets are the versions of a partition's entries, and the epoch that counts above them.

    `topic_id` is the broker's, which a topic made anew under the same name does not share; "" where brokers have none.
    """

    epoch: int
    topic_id: str

    def to_bytes(self) -> bytes:
        """A line of JSON that starts with a version, as every entry does: the highest one wins when it is recovered."""
        return orjson.dumps([self.epoch << OFFSET_BITS, self.topic_id]) + b"\n" + _BODY

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read what `to_bytes` wrote.

        Raises:
            DecodeError: The bytes are something else.
        """
        head, _, body = data.partition(b"\n")
        try:
            if body != _BODY:
                raise ValueError("a row stands in its place")
            version, topic_id = orjson.loads(head)
            return cls(epoch=version >> OFFSET_BITS, topic_id=str(topic_id))
        except (ValueError, TypeError) as error:
            raise DecodeError(
                "cannot decode table entry: it is no mark of the source topic", hint="lockstep table rebuild"
            ) from error
