"""Collapses the records of the source topic to the last state of each key, in memory."""

from collections.abc import Collection, Container, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from schemas.document import Deletion, Document, Provenance
from schemas.indexed_row import IndexedRow
from schemas.product import Product, row_hash, time_text, time_text_of_ms
from schemas.recipe import Recipe
from schemas.record import OFFSET_BITS, Place, Record
from streams.batch import Step, decode_batch, fold
from streams.ports import RowSource

_OFFSET_MASK = (1 << OFFSET_BITS) - 1


class Latest(NamedTuple):
    """The last change of a key that applies: where it stands, what it says of itself, and its entry as bytes."""

    partition: int
    operation: str
    lsn: int | None
    source_time_ms: int | None
    entry: bytes


@dataclass(slots=True, kw_only=True)
class LatestRows:
    """The last state of each key, by the worker's own functions: what its table holds once it has read as much.

    Holds one entry per key, deleted ones among them: 1.3 KB for a row of the demo's catalogue, so that a million keys
    take 1.3 GB. `only` leaves out every other key.
    """

    topic: str
    recipe: Recipe
    rows: RowSource
    epoch: int
    set_aside: Collection[Place] = ()
    only: Container[str] | None = None
    records: int = 0
    undecodable: int = 0
    """Records that are passed over: the worker has set them aside as dead letters."""
    _latest: dict[str, Latest] = field(init=False, default_factory=dict)
    _changed: set[str] = field(init=False, default_factory=set)

    def __len__(self) -> int:
        return len(self._latest)

    def __contains__(self, key: str) -> bool:
        return key in self._latest

    async def add(self, records: Collection[Record]) -> None:
        """Take the next records, those of a partition in its order.

        Unchanged TOAST columns are carried forward, or read from Postgres where no record before has them.

        Raises:
            SchemaMismatch: The topic's rows lack a column.
            SourceError: Postgres cannot be asked for a column that no record carries.
        """
        received, refusals = decode_batch(records, epoch=self.epoch, set_aside=self.set_aside)
        self.records += len(records)
        self.undecodable += len(refusals)
        for key, items in received.items():
            if self.only is not None and key not in self.only:
                continue
            known = self._latest.get(key)
            before = IndexedRow.from_bytes(known.entry) if known else None
            now_ms = items[-1].record.timestamp_ms
            step = await fold(key, items, before, self.recipe, rows=self.rows, now_ms=now_ms)
            self.undecodable += len(step.refused)
            if step.after is not None and step.after is not before:
                self._latest[key] = _latest_of(step, step.after, known)
            if step.applied:
                self._changed.add(key)

    def take_changed(self) -> list[str]:
        """The keys that changed since the last call."""
        changed, self._changed = self._changed, set()
        return list(changed)

    def keys(self) -> frozenset[str]:
        """Every key that was met, deleted ones among them."""
        return frozenset(self._latest)

    def alive(self) -> list[str]:
        """Every key that has a row."""
        return [key for key in self._latest if self.is_alive(key)]

    def is_alive(self, key: str) -> bool:
        """Whether the key has a row, as far as was read."""
        # An entry ends with its row, and with a line's end where there is none.
        return key in self._latest and not self._latest[key].entry.endswith(b"\n")

    def size(self, key: str) -> int:
        """About how long the row is, in bytes."""
        return len(self._latest[key].entry)

    def deletion(self, key: str) -> Deletion:
        """What removes the key's point, unless it is newer."""
        return Deletion(key=key, version=IndexedRow.from_bytes(self._latest[key].entry).version)

    def document(self, key: str, now: datetime) -> Document:
        """The key's row as the worker would write it, without vectors. The key must be alive."""
        latest = self._latest[key]
        entry = IndexedRow.from_bytes(latest.entry)
        if entry.row is None:
            raise ValueError(f"no row of {key}")
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

    def documents(self, keys: Iterable[str], now: datetime) -> Mapping[str, Document]:
        """`document` of several keys."""
        return {key: self.document(key, now) for key in keys}


def _latest_of(step: Step, after: IndexedRow, known: Latest | None) -> Latest:
    change = step.change
    if change is None and known is not None:
        # A record of the key was set aside: the entry is incomplete now, and still that of the change before.
        return known._replace(entry=after.to_bytes())
    return Latest(
        partition=step.partition,
        operation=change.operation.value if change else "",
        lsn=change.lsn if change else None,
        source_time_ms=change.source_time_ms if change else None,
        entry=after.to_bytes(),
    )
