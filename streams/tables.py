"""The table `indexed-rows`: one entry per key, in memory, behind a compacted changelog."""

import asyncio
from collections.abc import Sequence
from typing import Any

import faust

from schemas.indexed_row import IndexedRow
from streams.ports import TableEntry
from streams.topics import PARTITIONS, TABLE_NAME


def declare_table(app: faust.App) -> Any:
    """Declare it with the source topic's partition count: an entry lives in the partition of its source record."""
    return app.Table(TABLE_NAME, partitions=PARTITIONS, key_type=bytes, value_type=bytes)


class FaustIndexedRows:
    """`streams.ports.IndexedRows` on a Faust table of raw bytes.

    Faust finds the partition of a table write by the current event, which does not exist in a batch: so the entry is
    set in the table's data, and its changelog record sent to an explicit partition and awaited.
    """

    def __init__(self, table: Any) -> None:
        self._table = table

    def get(self, key: str) -> IndexedRow | None:
        """The entry of a key, or None for a key never seen."""
        data = self._table.data.get(key.encode())
        return IndexedRow.from_bytes(data) if data else None

    async def put(self, entries: Sequence[TableEntry]) -> None:
        """Remember entries; returns once the broker has confirmed every changelog record."""
        confirmed = []
        for entry in entries:
            key, value = entry.key.encode(), entry.row.to_bytes()
            self._table.data[key] = value
            confirmed.append(self._table.send_changelog(entry.partition, key, value))
        if confirmed:
            await asyncio.gather(*confirmed)

    def __len__(self) -> int:
        """Entries in memory, those of partitions that moved away included."""
        return len(self._table.data)
