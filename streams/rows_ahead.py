"""What the table is about to hold, for a batch that is planned before the one in front of it is in the table."""

from collections.abc import Iterable

from schemas.indexed_row import IndexedRow
from streams.ports import IndexedRows, TableEntry


class RowsAhead:
    """The table's entries, and over them those of batches whose effect is written but not yet confirmed."""

    def __init__(self, table: IndexedRows) -> None:
        self._table = table
        self._ahead: dict[tuple[int, str], TableEntry] = {}

    def get(self, key: str, partition: int) -> IndexedRow | None:
        """The entry of a key in a partition, as the next batch has to take it."""
        ahead = self._ahead.get((partition, key))
        return ahead.row if ahead else self._table.get(key, partition)

    def expect(self, entries: Iterable[TableEntry]) -> None:
        """These will be put into the table."""
        self._ahead.update(((entry.partition, entry.key), entry) for entry in entries)

    def settle(self, entries: Iterable[TableEntry]) -> None:
        """These are in the table now, or never will be. What a later batch expects of the same keys stays."""
        for entry in entries:
            if self._ahead.get((entry.partition, entry.key)) is entry:
                del self._ahead[entry.partition, entry.key]
