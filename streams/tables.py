"""The table `indexed-rows`: one entry per key, in memory, behind a compacted changelog."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any

import faust

from schemas.errors import BrokerError
from schemas.indexed_row import IndexedRow
from schemas.source_mark import source_mark_key
from streams.app import on_recovery
from streams.changelog import Entry
from streams.ports import TableEntry
from streams.topics import PARTITIONS, TABLE_NAME

logger = logging.getLogger(__name__)

STORE = "changelog://kafka"
"""The entry point `changelog` of the group `faust.stores`. Without the host the URL is false, and Faust ignores it."""

_MARKS = frozenset(map(source_mark_key, range(PARTITIONS)))

LOOK_AT_ONCE = 5000
"""Entries that are looked at in one tick of the event loop: about a millisecond."""


def declare_table(app: faust.App) -> Any:
    """Declare it with the source topic's partition count: an entry lives in the partition of its source record."""
    return app.Table(TABLE_NAME, partitions=PARTITIONS, key_type=bytes, value_type=bytes, store=STORE)


class FaustIndexedRows:
    """`streams.ports.IndexedRows` on a Faust table of raw bytes.

    Faust finds the partition of a table write by the current event, which does not exist in a batch: so the entry is
    set in the table's data, and its changelog record sent to an explicit partition and awaited. `send` does that, and
    keeps the order of its calls.
    """

    def __init__(self, table: Any, send: Callable[[Sequence[Entry]], Awaitable[None]]) -> None:
        self._table = table
        self._send = send
        self.recoveries = 0
        """How often the table was recovered: at the start, and at each rebalance."""
        on_recovery(table.app, table, self._recovered)

    def get(self, key: str, partition: int | None = None) -> IndexedRow | None:
        """The entry of a key, or None for a key never seen, or never in this partition."""
        name = key.encode()
        data = self._table.data.get(name)
        if not data or (partition is not None and self._table.data.partition_of(name) != partition):
            return None
        return IndexedRow.from_bytes(data)

    async def put(self, entries: Sequence[TableEntry]) -> None:
        """Remember entries; returns once the broker has confirmed every changelog record."""
        encoded = [(entry.partition, entry.key.encode(), entry.row.to_bytes()) for entry in entries]
        for partition, key, value in encoded:
            self._table.data.remember(partition, key, value)
        await self._send(encoded)

    def __len__(self) -> int:
        """Entries of the partitions that are ours."""
        return len(self._table.data) - len(self._table.data.keys() & _MARKS)

    async def deleted_since(self, since_ms: int) -> dict[str, int]:
        """The keys that were deleted then or later, each with its time in ms; the event loop goes on meanwhile."""
        found: dict[str, int] = {}
        for keys in self._chunks():
            found |= {
                key.decode(): row.applied_at_ms for key, row in self._deleted(keys) if row.applied_at_ms >= since_ms
            }
            await asyncio.sleep(0)
        return found

    async def drop_deleted(self, before_ms: int) -> int:
        """Forget the keys that were deleted before then, here and in the changelog; how many.

        It ends early at a rebalance: an entry may have a successor that the recovery has yet to read.
        """
        dropped = 0
        for keys in self._chunks():
            if self._table.app.rebalancing:
                break
            # Looked at, forgotten and sent in one tick: what a batch puts follows the tombstone, here and there.
            old = [key for key, row in self._deleted(keys) if row.applied_at_ms < before_ms]
            await self._send([(self._table.data.forget(key), key, None) for key in old])
            dropped += len(old)
            await asyncio.sleep(0)
        return dropped

    def _chunks(self) -> Iterator[list[bytes]]:
        """The keys there are now, a bearable number at a time."""
        keys = list(self._table.data)
        for start in range(0, len(keys), LOOK_AT_ONCE):
            yield keys[start : start + LOOK_AT_ONCE]

    def _deleted(self, keys: Sequence[bytes]) -> Iterator[tuple[bytes, IndexedRow]]:
        entries = self._table.data
        for key in keys:
            data = entries.get(key)
            # Only an entry without a row ends with its first line; nothing else is worth decoding.
            if data and data.endswith(b"\n") and (row := IndexedRow.from_bytes(data)).deleted:
                yield key, row

    async def _recovered(self) -> None:
        self.recoveries += 1
        await self._rewrite_outdated()

    async def _rewrite_outdated(self) -> None:
        """Write entries again that a lower version of their key follows in the changelog, before compaction runs."""
        outdated = self._table.data.outdated_entries()
        if not outdated:
            return
        try:
            await self._send(outdated)
        except BrokerError as error:
            # Faust drops what a callback of its recovery raises.
            await self._table.crash(error)
            return
        self._table.data.note_rewritten([key for _, key, _ in outdated])
        logger.warning(
            "entries written again: an older version followed them in the changelog",
            extra={"action": "table_entries_rewritten", "entries": len(outdated)},
        )
