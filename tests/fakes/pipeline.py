"""The other ports of the indexer, in memory, and records to feed it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import orjson

from schemas.dead_letter import DeadLetter
from schemas.document import Vectors
from schemas.errors import EmbeddingError, SourceError
from schemas.indexed_row import IndexedRow
from schemas.product import Product
from schemas.recipe import Recipe
from schemas.record import Place, Record
from streams.ports import LeaseLostError, TableEntry

TOPIC = "pgserver.public.products"
NOW = datetime(2026, 11, 20, 10, tzinfo=UTC)


@dataclass
class FakeEmbedder:
    """Embeds a text as its length; remembers every text it was given."""

    embedded: list[str] = field(default_factory=list)
    refuse: str | None = None

    async def embed(self, texts: Sequence[str]) -> list[Vectors]:
        if self.refuse and any(self.refuse in text for text in texts):
            raise EmbeddingError("cannot embed text: its vector is not finite")
        self.embedded += texts
        return [Vectors(dense=[float(len(t)), 1.0], sparse_indices=[1], sparse_values=[1.0]) for t in texts]

    async def for_recipe(self, recipe: Recipe) -> "FakeEmbedder":
        return self


@dataclass
class InMemoryTable:
    entries: dict[str, bytes] = field(default_factory=dict)
    writes: list[TableEntry] = field(default_factory=list)
    partitions: dict[str, int] = field(default_factory=dict)

    def get(self, key: str, partition: int | None = None) -> IndexedRow | None:
        data = self.entries.get(key)
        elsewhere = partition is not None and self.partitions.get(key, partition) != partition
        return IndexedRow.from_bytes(data) if data and not elsewhere else None

    async def put(self, entries: Sequence[TableEntry]) -> None:
        for entry in entries:
            self.entries[entry.key] = entry.row.to_bytes()
            self.partitions[entry.key] = entry.partition
        self.writes += entries


@dataclass
class ListOfDeadLetters:
    letters: list[DeadLetter] = field(default_factory=list)

    async def publish(self, letters: Sequence[DeadLetter]) -> None:
        self.letters += letters

    @property
    def places(self) -> list[str]:
        return [str(letter.record.place) for letter in self.letters]


@dataclass
class RowsInMemory:
    rows: dict[str, Product] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    error: SourceError | None = None

    async def fetch_row(self, article_id: str) -> Product | None:
        self.asked.append(article_id)
        if self.error:
            raise self.error
        return self.rows.get(article_id)


@dataclass
class CountingLease:
    """Ends at the check numbered `ends_at`, counted from 1; never without it."""

    ends_at: int | None = None
    checks: int = 0

    def check(self) -> None:
        self.checks += 1
        if self.ends_at is not None and self.checks >= self.ends_at:
            raise LeaseLostError("generation 1 has ended")


@dataclass
class Topic:
    """Makes the records that Debezium would, at rising offsets of one partition."""

    offset: int = -1
    lsn: int = 1000
    records: list[Record] = field(default_factory=list)

    def create(self, key: str, **columns: Any) -> Record:
        return self._row("c", key, columns)

    def update(self, key: str, **columns: Any) -> Record:
        return self._row("u", key, columns)

    def read(self, key: str, **columns: Any) -> Record:
        return self._row("r", key, columns, lsn=None)

    def delete(self, key: str) -> Record:
        self.lsn += 8
        value = flat_row(key, {}) | {"__op": "d", "__deleted": "true", "__lsn": self.lsn, "__source_ts_ms": self.lsn}
        return self.append(key, orjson.dumps(value))

    def tombstone(self, key: str) -> Record:
        headers = (("__lsn", str(self.lsn).encode()), ("__source_ts_ms", str(self.lsn).encode()))
        return self.append(key, None, headers)

    def append(
        self, key: str | None, value: bytes | None, headers: tuple[tuple[str, bytes], ...] = (), *, raw: bytes = b""
    ) -> Record:
        self.offset += 1
        record = Record(
            place=Place(topic=TOPIC, partition=0, offset=self.offset),
            key=raw or (None if key is None else orjson.dumps({"article_id": key})),
            value=value,
            headers=headers,
        )
        self.records.append(record)
        return record

    def _row(self, operation: str, key: str, columns: dict[str, Any], lsn: int | None = 0) -> Record:
        self.lsn += 8
        value = flat_row(key, columns) | {
            "__op": operation,
            "__deleted": "false",
            "__lsn": self.lsn if lsn is not None else None,
            "__source_ts_ms": self.lsn,
        }
        return self.append(key, orjson.dumps(value))


def flat_row(key: str, columns: dict[str, Any]) -> dict[str, Any]:
    """A row as the connector writes it, every column there."""
    return {
        "id": 1,
        "article_id": key,
        "name": "Strap top",
        "description": "Jersey top with narrow shoulder straps.",
        "product_type": "Vest top",
        "product_group": "Garment Upper body",
        "color": "Black",
        "department": "Jersey Basic",
        "index_name": "Ladieswear",
        "image_url": None,
        "price": "19.99",
        "created_at": "2026-11-20T09:00:00.000000Z",
        "updated_at": "2026-11-20T09:00:00.000000Z",
    } | columns
