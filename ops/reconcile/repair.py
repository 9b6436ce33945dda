"""Repairs what a comparison found, through the log wherever that can reach: each repair has an offset and an order.

Missing, stale and drifted: Debezium reads the rows again, by an incremental snapshot. Orphaned: a tombstone on the
source topic; a point that no record stands for is removed by its id. Every step may be repeated, or be the last one
before the process is killed: what is left then is found by the next run.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from connectors.partitioner import partition_of_key
from connectors.postgres import Postgres, UnreadableRowError
from connectors.qdrant import QdrantStore
from connectors.qdrant_audit import QdrantAudit, SeenPoint
from ops.reconcile.comparison import Comparison, Settle, agrees, check_live, name_of
from ops.reconcile.findings import Findings
from ops.reconcile.paging import pages_of
from ops.reconcile.report import RepairReport
from ops.reconcile.vectors import VectorCheck
from schemas.collection import LiveCollection
from schemas.debezium import encode_key
from schemas.record import OFFSET_BITS, Place

SIGNALLED_AT_ONCE = 5_000
"""Keys that are read again before the next are asked for: ten signals, one or two seconds of a worker."""
REMOVED_AT_ONCE = 500
PAGE = 500
PATIENCE_SECONDS = 120.0
"""Counted from the last row that came right: Debezium may have a snapshot of its own to end first."""
LOOK_EVERY_SECONDS = 0.3
LONGEST_KEY_BYTES = 4096
"""A longer key does not go into a signal."""

TOO_LONG = f"its key is longer than {LONGEST_KEY_BYTES} bytes: change the row, so that it is captured"
NOT_COME = f"Debezium was asked to read it again, and nothing came of it within {PATIENCE_SECONDS:.0f} s"
SET_ASIDE = "read again, its record was set aside as a dead letter"
STILL_DIFFERS = "it differs still, or again"
LEFT_OUT = "more differs than one run repairs: run it again"


class OrphanLog(Protocol):
    """Where tombstones go: `ops.reconcile.tombstones.Tombstones`."""

    async def high_watermarks(self) -> dict[int, int]:
        """How far each partition of the source topic reaches now."""
        ...

    async def write(self, orphans: Sequence[SeenPoint], seen: dict[int, int]) -> None:
        """Write a tombstone for each, void for a key whose row came back behind `seen`."""
        ...


class Note(Protocol):
    """Outlives this process: `ops.reconcile.keeping.Keeping`."""

    def begin(self, keys: Collection[str]) -> None:
        """Note keys whose rows must be looked at once more."""
        ...

    def unfinished(self) -> list[str]:
        """What was noted."""
        ...

    def end(self) -> None:
        """Forget it."""
        ...


class DeadLettersSince(Protocol):
    """Watches for records set aside since a moment: `ops.dead_letter_retry.SetAside`."""

    async def places(self) -> Mapping[str, Place]:
        """The newest such place of each key."""
        ...


@dataclass(slots=True, kw_only=True)
class Repair:
    """One repair; `report` counts while it runs. `watch_dead_letters` begins to watch from now on."""

    rows: Postgres
    store: QdrantStore
    audit: QdrantAudit
    live: LiveCollection
    log: OrphanLog
    note: Note
    settle: Settle
    vectors: VectorCheck
    watch_dead_letters: Callable[[], Awaitable[DeadLettersSince]]
    epoch: int
    say: Callable[[str], None] = lambda line: None
    patience_seconds: float = PATIENCE_SECONDS
    report: RepairReport = field(default_factory=RepairReport)
    _given_up: set[str] = field(default_factory=set)

    async def run(self, found: Findings) -> None:
        """Repair everything that was found, then look at all of it once more.

        Raises:
            SourceError: Postgres cannot be reached, or nothing is captured.
            BrokerError: The worker makes no progress, or the broker cannot be reached.
            VectorStoreError: Qdrant cannot be reached.
            ReplayError: The collection is no longer the live one.
        """
        started = time.monotonic()
        await self._end_what_was_killed()
        keys = list(dict.fromkeys((*found.missing, *found.stale, *found.drifted)))
        for part in pages_of(keys, SIGNALLED_AT_ONCE):
            await self._disown_untrue(part, found)
            await self._read_again(part, found.drifted.keys() & set(part))
            self.say(f"{self.report.read_again:,} of {len(keys):,} rows read again")
        removed = 0
        for orphans in pages_of(found.orphans, REMOVED_AT_ONCE):
            await self._remove(orphans)
            removed += len(orphans)
            self.say(f"{removed:,} of {len(found.orphans):,} orphans removed")
        await self._verify(keys, found)
        if found.left_out:
            self.report.add_unrepaired(f"{found.left_out:,} more", LEFT_OUT)
        self.report.seconds = round(time.monotonic() - started, 2)

    async def _end_what_was_killed(self) -> None:
        """An earlier repair may have ended between its tombstones and its second look at the rows."""
        if keys := self.note.unfinished():
            await self._signal_those_that_came_back(keys)
            self.note.end()

    async def _disown_untrue(self, keys: Sequence[str], found: Findings) -> None:
        """Take provenance away that would keep a worker from writing the point.

        A worker keeps a vector whose fingerprint is right, and leaves a point alone whose version is above its own.
        """
        ends = await self.log.high_watermarks()
        untrue = {key: found.drifted[key] for key in keys if key in found.drifted}
        for key in (key for key in keys if key in found.stale):
            version = found.stale[key]
            end = ends[partition_of_key(encode_key(key), len(ends))]
            if version is None or version >= (self.epoch << OFFSET_BITS) + end:
                untrue[key] = version
        for part in pages_of(list(untrue), PAGE):
            await self.audit.disown(self.live.name, {key: untrue[key] for key in part})
        self.report.disowned += len(untrue)

    async def _read_again(self, keys: Sequence[str], drifted: Collection[str]) -> None:
        """Have Debezium read these rows, and wait until each is indexed, gone, or set aside.

        Debezium confirms a signal a moment before the rows that it reads are on the topic, and works through snapshots
        one after the other: hence several looks.
        """
        too_long = [key for key in keys if len(key.encode()) > LONGEST_KEY_BYTES]
        for key in too_long:
            self._give_up(key, TOO_LONG)
        waiting: Collection[str] = [key for key in keys if key not in self._given_up]
        dead_letters = await self.watch_dead_letters()
        await self.rows.signal_snapshot(list(waiting))
        self.report.read_again += len(waiting)
        ends = time.monotonic() + self.patience_seconds
        while True:
            await self._wait()
            wrong = await self._wrong(waiting, drifted)
            if wrong:
                set_aside = await dead_letters.places()
                for key in wrong & set_aside.keys():
                    self._give_up(key, SET_ASIDE, str(set_aside[key]))
                wrong -= set_aside.keys()
            if len(wrong) < len(waiting):
                ends = time.monotonic() + self.patience_seconds
            waiting = wrong
            if not waiting:
                return
            if time.monotonic() >= ends:
                break
            await asyncio.sleep(LOOK_EVERY_SECONDS)
        for key in sorted(waiting):
            self._give_up(key, NOT_COME)

    async def _wait(self) -> None:
        """Wait until workers have applied what was asked for, and see to it that they write to our collection."""
        await self.settle()
        await check_live(self.store, self.live)

    async def _wrong(self, keys: Collection[str], drifted: Collection[str]) -> set[str]:
        """Those of the keys that have a row, and no point that is right."""
        wrong: set[str] = set()
        unreadable: list[UnreadableRowError] = []
        for part in pages_of(list(keys), PAGE):
            rows = await self.rows.fetch_rows(part, unreadable)
            payloads = await self.store.payloads(self.live.name, list(rows))
            wrong |= {k for k, row in rows.items() if k not in payloads or not agrees(row, payloads[k], self.live)}
        for error in unreadable:
            self._give_up(error.article_id, error.reason)
        right = [key for key in drifted if key in keys and key not in wrong]
        return wrong | set(await self.vectors.drifted(right))

    async def _remove(self, orphans: Sequence[SeenPoint]) -> None:
        """Remove points whose rows are still not there."""
        seen = await self.log.high_watermarks()  # before Postgres is asked
        keys = [orphan.key for orphan in orphans if orphan.key is not None]
        present = await self.rows.existing_keys(keys)
        absent = [orphan for orphan in orphans if orphan.key is not None and orphan.key not in present]
        gone = [orphan.key for orphan in absent if orphan.key is not None]
        if gone:
            self.note.begin(gone)
            await self.log.write(absent, seen)
            self.report.tombstones += len(absent)
            await self._wait()
            present |= await self._signal_those_that_came_back(gone)
            self.note.end()
        # A point whose version is above the log's is out of reach for a record, and so is one without a row's id.
        left = [orphan for orphan in orphans if orphan.key not in present]
        now = await self.audit.points_by_id(self.live.name, [orphan.id for orphan in left])
        if stray := [point for point in now if point in left]:
            await self.audit.remove(self.live.name, stray)
            self.report.removed += len(stray)
            await self._signal_those_that_came_back([point.key for point in stray if point.key is not None])

    async def _signal_those_that_came_back(self, keys: Sequence[str]) -> set[str]:
        """Have rows read again that are there by now: a record may stand below a tombstone, or a point be removed."""
        back = await self.rows.existing_keys(keys)
        if back:
            await self._read_again(sorted(back), ())
            self.report.came_back += len(back)
        return back

    async def _verify(self, keys: Sequence[str], found: Findings) -> None:
        """Look at everything that was repaired once more, as exactly as it was found."""
        verifying = await Comparison.of(self.rows, self.store, settle=self.settle)
        await verifying.run_over([key for key in keys if key not in self._given_up], found.orphans)
        wrong = verifying.findings
        drifted = await self.vectors.drifted([key for key in found.drifted if key not in self._given_up])
        for key in dict.fromkeys((*wrong.missing, *wrong.stale, *map(name_of, wrong.orphans), *drifted)):
            self._give_up(key, STILL_DIFFERS)

    def _give_up(self, key: str, reason: str, dead_letter: str | None = None) -> None:
        if key not in self._given_up:
            self._given_up.add(key)
            self.report.add_unrepaired(key, reason, dead_letter)
