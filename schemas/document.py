"""What Lockstep stores in Qdrant: a point's id, its payload with provenance, its vectors."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from uuid import UUID, uuid5

from schemas.product import Product

POINT_NAMESPACE = UUID("6f0a2f0e-5d0c-5c5b-9d53-0b8c1f3c9a41")
"""Fixed for ever: point ids are `uuid5(POINT_NAMESPACE, "<table>/<article_id>")`."""

TABLE = "products"
PROVENANCE = "_lockstep"
DENSE_VECTOR = "dense"
SPARSE_VECTOR = "bm25"

VERSION_FIELD = f"{PROVENANCE}.version"
FINGERPRINT_FIELD = f"{PROVENANCE}.embedding_fingerprint"

KEYWORD_FILTERS: tuple[str, ...] = ("color", "department", "product_type", "product_group", "index_name")
"""Payload columns that searches filter and count by."""


@lru_cache(maxsize=4096)  # a batch asks for each of its points three times
def point_id(article_id: str) -> str:
    """The point of a row, the same in every collection and after every rebuild."""
    return str(uuid5(POINT_NAMESPACE, f"{TABLE}/{article_id}"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Vectors:
    """`dense` is float [dimensions]; `sparse` is BM25's term ids and weights, both empty for a text without words."""

    dense: list[float]
    sparse_indices: list[int]
    sparse_values: list[float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """Where a point's content came from; stored under `_lockstep` in its payload."""

    version: int
    lsn: int | None
    operation: str
    source_time: str | None
    """The database's clock at the change, ISO 8601 in UTC."""
    recipe: str
    embedding_fingerprint: str
    row_hash: str
    indexed_at: str
    """The worker's clock at the write, ISO 8601 in UTC."""
    source: str
    """The record's place: `topic[partition]@offset`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A row ready for Qdrant. Without `vectors` only its payload can be written."""

    row: Product
    provenance: Provenance
    vectors: Vectors | None = None

    @property
    def key(self) -> str:
        """The row's `article_id`."""
        return self.row.article_id

    def payload(self) -> dict[str, Any]:
        """The whole payload: columns flat, provenance beside them."""
        p = self.provenance
        provenance = {name: getattr(p, name) for name in Provenance.__slots__}
        return {**self.row.payload(), PROVENANCE: provenance}


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredPoint:
    """What a point in the collection says of itself; a field is None where the point does not have it."""

    version: int | None
    recipe: str | None
    embedding_fingerprint: str | None
    row_hash: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Deletion:
    """A point to remove unless it carries a newer version."""

    key: str
    version: int
