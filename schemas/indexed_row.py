"""What the worker remembers of each key: the value of the Faust table `indexed-rows`."""

from dataclasses import dataclass
from typing import Self

import orjson

from schemas.errors import DecodeError


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexedRow:
    """The last change applied for a key.

    A delete leaves the entry with its version and no row: without it an older change would revive the point.
    `lsn` and `source_time_ms` are those of the last create, update or delete: snapshot reads do not set them.
    `incomplete` says that a record between this one and now was set aside, so that an unchanged TOAST column cannot be
    filled from `row`. `row` is `Product.to_bytes()`.
    """

    version: int
    lsn: int | None
    source_time_ms: int | None
    recipe: str
    embedding_fingerprint: str
    applied_at_ms: int
    incomplete: bool = False
    row: bytes | None = None

    @property
    def deleted(self) -> bool:
        """Whether the row is gone."""
        return self.row is None

    def to_bytes(self) -> bytes:
        """A line of JSON for the entry, then the row: a million entries must fit in memory."""
        head = orjson.dumps(
            [
                self.version,
                self.lsn,
                self.source_time_ms,
                self.recipe,
                self.embedding_fingerprint,
                self.applied_at_ms,
                self.incomplete,
            ]
        )
        return head + b"\n" + (self.row or b"")

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read what `to_bytes` wrote.

        Raises:
            DecodeError: The bytes are something else.
        """
        head, newline, row = data.partition(b"\n")
        try:
            version, lsn, source_time_ms, recipe, fingerprint, applied_at_ms, incomplete = orjson.loads(head)
        except (ValueError, TypeError) as error:
            raise DecodeError("cannot decode table entry: it is not an indexed row") from error
        if not newline or not isinstance(version, int):
            raise DecodeError("cannot decode table entry: it is not an indexed row")
        return cls(
            version=version,
            lsn=lsn,
            source_time_ms=source_time_ms,
            recipe=recipe,
            embedding_fingerprint=fingerprint,
            applied_at_ms=applied_at_ms,
            incomplete=incomplete,
            row=row or None,
        )
