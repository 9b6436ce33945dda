"""Whether the topic still has every row, and how Debezium fills in what it has not.

Compaction is no loss, since it keeps the last record of every key. Retention is, and so is a deletion of records.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import uuid4

from connectors.debezium.signals import EXECUTE_SNAPSHOT, whole_table_signal
from connectors.kafka import Watermarks
from connectors.postgres import Postgres, UnreadableRowError
from ops.backfill.engine import Backfill
from ops.catch_up import until_captured
from schemas.errors import ReplayError
from streams.topics import PRODUCT_CHANGES

PAGE = 2000
LOOK_EVERY_SECONDS = 2.0
PATIENCE_SECONDS = 120.0
"""Without one more row on the topic."""
_SIGNAL = "INSERT INTO public.debezium_signal (id, type, data) VALUES ($1, $2, $3)"


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceRange:
    """What the topic holds, by partition, and whether it drops records by age or size."""

    marks: Mapping[int, Watermarks]
    cleanup_policy: str

    @property
    def starts(self) -> dict[int, int]:
        """The low watermarks."""
        return {number: marks.low for number, marks in self.marks.items()}

    @property
    def offsets(self) -> int:
        """From the low watermarks to the high ones; compaction leaves fewer records."""
        return sum(marks.high - marks.low for marks in self.marks.values())

    @property
    def lost(self) -> Mapping[int, int]:
        """The partitions whose first records are gone, each with its low watermark."""
        return {number: marks.low for number, marks in self.marks.items() if marks.low > 0}


def check_history(source: SourceRange) -> None:
    """Refuse a topic that has dropped records by retention, and goes on doing so.

    Raises:
        ReplayError: The topic deletes by retention, and a low watermark is above 0.
    """
    if source.lost and "delete" in source.cleanup_policy:
        number, low = next(iter(source.lost.items()))
        raise ReplayError(
            f"history is gone: {PRODUCT_CHANGES}[{number}] begins at offset {low}, its older records were deleted by "
            "retention",
            hint="lockstep topics apply, then lockstep rebuild --from-snapshot",
        )


class History(Protocol):
    """What a rebuild asks before it writes."""

    async def complete(self, backfill: Backfill, *, from_snapshot: bool) -> None:
        """Make sure that every row of Postgres was met on the topic.

        Raises:
            ReplayError: Some were not, and `from_snapshot` is not set; or Debezium does not bring them.
            SourceError: Postgres cannot be read.
        """
        ...


class TopicHistory:
    """`History` by Postgres, where a low watermark is above 0 or a snapshot is wanted: else the topic has every row."""

    def __init__(self, rows: Postgres, source: SourceRange) -> None:
        self._rows = rows
        self._source = source

    async def complete(self, backfill: Backfill, *, from_snapshot: bool) -> None:
        """Make sure that every row of Postgres was met on the topic; with `from_snapshot` have Debezium read them.

        Rows that come meanwhile have records: what the first look misses is followed, and no other row.
        """
        if not (self._source.lost or from_snapshot) or not (absent := await self._absent(backfill)):
            return
        # A row that is new may not be captured yet.
        await until_captured(self._rows)
        await backfill.read_further("reading")
        if not (absent := await self._still_absent(backfill, absent)):
            return
        if not from_snapshot:
            raise ReplayError(
                f"history is gone: {len(absent):,} rows have no record in {PRODUCT_CHANGES}, among them {absent[0]}",
                hint="lockstep rebuild --from-snapshot",
            )
        await self._rows.execute(_SIGNAL, f"lockstep-{uuid4()}", EXECUTE_SNAPSHOT, whole_table_signal())
        progressed = time.monotonic()
        while absent:
            await asyncio.sleep(LOOK_EVERY_SECONDS)
            await backfill.read_further("reading the snapshot")
            before, absent = len(absent), await self._still_absent(backfill, absent)
            if len(absent) < before:
                progressed = time.monotonic()
            elif time.monotonic() - progressed > PATIENCE_SECONDS:
                raise ReplayError(
                    f"debezium brought no more rows within {PATIENCE_SECONDS:.0f} s, and {len(absent):,} are still "
                    f"absent from {PRODUCT_CHANGES}, among them {absent[0]}",
                    hint="lockstep connector status, and lockstep dead-letters list",
                )

    async def _absent(self, backfill: Backfill) -> list[str]:
        unreadable: list[UnreadableRowError] = []  # no record of theirs can ever be indexed
        absent: list[str] = []
        async for page in self._rows.pages(limit=PAGE, unreadable=unreadable):
            absent += backfill.latest.lost([row.article_id for row in page])
        return absent

    async def _still_absent(self, backfill: Backfill, keys: Sequence[str]) -> list[str]:
        """Those of the keys that are lost still, and that have a row still."""
        absent: list[str] = []
        for start in range(0, len(keys), PAGE):
            lost = backfill.latest.lost(keys[start : start + PAGE])
            present = await self._rows.existing_keys(lost)
            absent += [key for key in lost if key in present]
        return absent
