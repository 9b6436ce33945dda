"""The table `indexed-rows`: one entry per key, in memory, behind a compacted changelog."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

import faust
from aiokafka.errors import KafkaError  # type: ignore[import-untyped]

from schemas.indexed_row import IndexedRow
from streams.ports import TableEntry
from streams.topics import PARTITIONS, TABLE_NAME

logger = logging.getLogger(__name__)

STORE = "changelog://kafka"
"""The entry point `changelog` of the group `faust.stores`. Without the host the URL is false, and Faust ignores it."""


def declare_table(app: faust.App) -> Any:
    """Declare it with the source topic's partition count: an entry lives in the partition of its source record."""
    return app.Table(TABLE_NAME, partitions=PARTITIONS, key_type=bytes, value_type=bytes, store=STORE)


class FaustIndexedRows:
    """`streams.ports.IndexedRows` on a Faust table of raw bytes.

    Faust finds the partition of a table write by the current event, which does not exist in a batch: so the entry is
    set in the table's data, and its changelog record sent to an explicit partition and awaited.
    """

    def __init__(self, table: Any) -> None:
        self._table = table
        table.on_recover(self._rewrite_outdated)

    def get(self, key: str) -> IndexedRow | None:
        """The entry of a key, or None for a key never seen."""
        data = self._table.data.get(key.encode())
        return IndexedRow.from_bytes(data) if data else None

    async def put(self, entries: Sequence[TableEntry]) -> None:
        """Remember entries; returns once the broker has confirmed every changelog record."""
        encoded = [(entry.partition, entry.key.encode(), entry.row.to_bytes()) for entry in entries]
        for partition, key, value in encoded:
            self._table.data.remember(partition, key, value)
        await self._send(encoded)

    def __len__(self) -> int:
        """Entries of the partitions that are ours."""
        return len(self._table.data)

    async def _rewrite_outdated(self) -> None:
        """Write entries again that a lower version of their key follows in the changelog, before compaction runs."""
        outdated = self._table.data.outdated_entries()
        if not outdated:
            return
        try:
            await self._send(outdated)
        except KafkaError as error:
            # Faust drops what a callback of its recovery raises.
            await self._table.crash(error)
            return
        self._table.data.note_rewritten([key for _, key, _ in outdated])
        logger.warning(
            "entries written again: an older version followed them in the changelog",
            extra={"action": "table_entries_rewritten", "entries": len(outdated)},
        )

    async def _send(self, records: Sequence[tuple[int, bytes, bytes]]) -> None:
        if records:
            await asyncio.gather(*(self._table.send_changelog(*record) for record in records))
