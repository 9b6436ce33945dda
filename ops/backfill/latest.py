"""Collapses the records of the source topic to the last state of each key."""

from collections.abc import Collection, Container, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from ops.backfill.spill import Latest, LatestFile
from schemas.document import Deletion, Document, Provenance
from schemas.indexed_row import IndexedRow
from schemas.product import Product, row_hash, time_text, time_text_of_ms
from schemas.recipe import Recipe
from schemas.record import OFFSET_BITS, Place, Record
from streams.batch import Step, decode_batch, fold
from streams.ports import RowSource

_OFFSET_MASK = (1 << OFFSET_BITS) - 1


@dataclass(frozen=True, slots=True)
class Changed:
    """Keys whose last state is another than at the last look: those that have a row, the shortest first, and others."""

    rows: Sequence[str]
    gone: Sequence[str]

    @property
    def count(self) -> int:
        """Both together."""
        return len(self.rows) + len(self.gone)


@dataclass(slots=True, kw_only=True)
class LatestRows:
    """The last state of each key, by the worker's own functions: what its table holds once it has read as much.

    Memory is bounded: `file` holds the entries, deleted keys among them. `only` leaves out every other key, and so
    does `closed` with every key that was not met yet.
    """

    topic: str
    recipe: Recipe
    rows: RowSource
    epoch: int
    set_aside: Collection[Place] = ()
    only: Container[str] | None = None
    closed: bool = False
    file: LatestFile = field(default_factory=LatestFile)
    records: int = 0
    undecodable: int = 0
    """Records that are passed over: the worker has set them aside as dead letters."""
    passed_over: set[str] = field(default_factory=set)
    """The keys of such records, where they can be told."""

    def __len__(self) -> int:
        return len(self.file)

    async def add(self, records: Collection[Record]) -> None:
        """Take the next records, those of a partition in its order.

        Unchanged TOAST columns are carried forward, or read from Postgres where no record before has them.

        Raises:
            SchemaMismatch: The topic's rows lack a column.
            SourceError: Postgres cannot be asked for a column that no record carries.
            ReplayError: There is no space for the rows.
        """
        received, refusals = decode_batch(records, epoch=self.epoch, set_aside=self.set_aside)
        self.records += len(records)
        self.undecodable += len(refusals)
        known_by_key = self.file.get(received.keys())
        changed = []
        for key, items in received.items():
            known = known_by_key.get(key)
            if (self.only is not None and key not in self.only) or (self.closed and known is None):
                continue
            before = IndexedRow.from_bytes(known.entry) if known else None
            now_ms = items[-1].record.timestamp_ms
            step = await fold(key, items, before, self.recipe, rows=self.rows, now_ms=now_ms)
            self.undecodable += len(step.refused)
            if step.refused or any(item.change is None for item in items):
                self.passed_over.add(key)
            if step.after is not None and step.after is not before:
                changed.append(_latest_of(step, step.after, known))
        self.file.put(changed)

    def take_changed(self) -> Changed:
        """The keys that changed since the last call."""
        return Changed(*self.file.take_changed())

    def unknown(self, keys: Collection[str]) -> list[str]:
        """Those of the keys that were never met."""
        known = self.file.get(keys)
        return [key for key in keys if key not in known]

    def lost(self, keys: Collection[str]) -> list[str]:
        """Those of the keys of rows that have none here, for all the records that were met."""
        known = self.file.get(keys)
        return [key for key in keys if key not in self.passed_over and not (key in known and known[key].alive)]

    def without_row(self, keys: Collection[str]) -> list[str]:
        """Those of the keys whose row is gone."""
        return [key for key, latest in self.file.get(keys).items() if not latest.alive]

    def sample(self, size: int) -> list[str]:
        """Keys of rows, drawn at random."""
        return self.file.sample_alive(size)

    def deletions(self, keys: Collection[str]) -> list[Deletion]:
        """What removes the points of these keys, unless they are newer."""
        return [
            Deletion(key=key, version=IndexedRow.from_bytes(latest.entry).version)
            for key, latest in self.file.get(keys).items()
        ]

    def documents(self, keys: Collection[str], now: datetime) -> Mapping[str, Document]:
        """The rows as the worker would write them, by key, without vectors. A key that has no row by now is absent."""
        found = self.file.get(keys)
        return {key: self._document(found[key], now) for key in keys if key in found and found[key].alive}

    def _document(self, latest: Latest, now: datetime) -> Document:
        entry = IndexedRow.from_bytes(latest.entry)
        if entry.row is None:
            raise ValueError(f"no row of {latest.key}")
        offset = entry.version & _OFFSET_MASK
        return Document(
            row=Product.from_bytes(entry.row),
            provenance=Provenance(
                version=entry.version,
                lsn=latest.lsn,
                operation=latest.operation,
                source_time=time_text_of_ms(latest.source_time_ms),
                recipe=entry.recipe,
                embedding_fingerprint=entry.embedding_fingerprint,
                row_hash=row_hash(entry.row),
                indexed_at=time_text(now) or "",
                source=str(Place(topic=self.topic, partition=latest.partition, offset=offset)),
            ),
        )


def _latest_of(step: Step, after: IndexedRow, known: Latest | None) -> Latest:
    change = step.change
    if change is None and known is not None:
        # A record of the key was set aside: the entry is incomplete now, and still that of the change before.
        return known._replace(entry=after.to_bytes(), changed=False)
    return Latest(
        key=step.key,
        partition=step.partition,
        operation=change.operation.value if change else "",
        lsn=change.lsn if change else None,
        source_time_ms=change.source_time_ms if change else None,
        alive=not after.deleted,
        changed=bool(step.applied),
        entry=after.to_bytes(),
    )
