"""One decoded row change."""

from dataclasses import dataclass
from enum import StrEnum

from schemas.product import Product
from schemas.record import Place


class Operation(StrEnum):
    """What happened to the row; the letters are Debezium's."""

    CREATE = "c"
    UPDATE = "u"
    DELETE = "d"
    SNAPSHOT_READ = "r"
    TOMBSTONE = "tombstone"
    """The record with a null value that Debezium sends after a delete, for compaction."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A row change in the order of the topic.

    `row` is the row afterwards: None for a delete or a tombstone. `before` is the row that a delete took away, as far
    as the replica identity tells it. `unavailable` names the columns of `row` whose value Debezium did not send
    (unchanged TOAST): they stand as None, or "" where None is not allowed, and must be filled before use.
    `lsn` is Postgres's position of the change: None on incremental snapshot reads and on tombstones without headers.
    `source_time_ms` is the database's clock, ms since the epoch, UTC.
    `void_from` is set on a tombstone that removes an orphan: its key had no row when the log ended before this version.
    A change of the key from there on means that the row came back, and the tombstone says nothing.
    """

    operation: Operation
    key: str
    version: int
    place: Place
    row: Product | None = None
    before: Product | None = None
    unavailable: frozenset[str] = frozenset()
    lsn: int | None = None
    source_time_ms: int | None = None
    void_from: int | None = None

    @property
    def removes(self) -> bool:
        """Whether the row is gone after this change."""
        return self.operation in (Operation.DELETE, Operation.TOMBSTONE)
