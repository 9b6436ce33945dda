"""What Lockstep sends to Qdrant: points, conditions and indexes.

Writes are plain JSON: building the client's models took as long as Qdrant took to apply them.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from qdrant_client import models

from schemas.document import (
    DENSE_VECTOR,
    FINGERPRINT_FIELD,
    KEYWORD_FILTERS,
    SPARSE_VECTOR,
    VERSION_FIELD,
    Deletion,
    Document,
    Vectors,
    point_id,
)
from schemas.product import TEXT_COLUMNS

Json = dict[str, Any]

REQUEST_BYTES = 8 * 1024 * 1024
POINT_BYTES = 12 * 1024
"""About what vectors, provenance and the point's own condition take."""


def payload_indexes() -> dict[str, models.PayloadSchemaType]:
    """The fields that filters use; strict mode refuses guarded writes on a version without an index."""
    return {
        **dict.fromkeys(KEYWORD_FILTERS, models.PayloadSchemaType.KEYWORD),
        "article_id": models.PayloadSchemaType.KEYWORD,
        "price": models.PayloadSchemaType.FLOAT,
        VERSION_FIELD: models.PayloadSchemaType.INTEGER,
        FINGERPRINT_FIELD: models.PayloadSchemaType.KEYWORD,
    }


def points_of(documents: Sequence[Document]) -> list[Json]:
    """The points, whole; each document must have vectors."""
    return [{"id": point_id(d.key), "vector": _named_vectors(d), "payload": d.payload()} for d in documents]


def overwrite_payload(document: Document) -> Json:
    """Replace the payload of a point that has this text's vector and no newer version."""
    provenance = document.provenance
    condition = {
        "must": [
            {"has_id": [point_id(document.key)]},
            {"key": FINGERPRINT_FIELD, "match": {"value": provenance.embedding_fingerprint}},
        ],
        "must_not": [_above(provenance.version)],
    }
    return {"overwrite_payload": {"payload": document.payload(), "filter": condition}}


def removals(deletions: Sequence[Deletion]) -> Json:
    """The points to remove, one clause a point: each is judged by its own version."""
    return {"should": [{"must": [{"has_id": [point_id(d.key)]}], "must_not": [_above(d.version)]} for d in deletions]}


def none_newer(documents: Sequence[Document]) -> Json:
    """The condition of an upsert, one clause a point: a point that carries a newer version is left alone.

    `must_not: version > mine`, since a point without the field matches no range and could never be written again.
    """
    return {"must_not": [{"must": [{"has_id": [point_id(d.key)]}, _above(d.provenance.version)]} for d in documents]}


def parts_of(documents: Sequence[Document]) -> Iterator[list[Document]]:
    """Parts of a batch that are small enough: a server refuses a body above 32 MiB, some by closing the connection."""
    part: list[Document] = []
    size = 0
    for document in documents:
        row = document.row
        length = POINT_BYTES + sum(len(text) for name in TEXT_COLUMNS if (text := getattr(row, name)))
        if part and size + length > REQUEST_BYTES:
            yield part
            part, size = [], 0
        part.append(document)
        size += length
    if part:
        yield part


def vectors_of(point: models.Record) -> Vectors | None:
    """What `point_of` sent, as it is read back; None for a point without our vectors."""
    found = point.vector if isinstance(point.vector, dict) else {}
    dense, sparse = found.get(DENSE_VECTOR), found.get(SPARSE_VECTOR)
    if not isinstance(dense, list) or not all(isinstance(number, float) for number in dense[:1]):
        return None
    # A text without words has no sparse vector, and some servers leave out what is empty.
    empty = models.SparseVector(indices=[], values=[])
    words = sparse if isinstance(sparse, models.SparseVector) else empty
    return Vectors(dense=dense, sparse_indices=words.indices, sparse_values=words.values)  # type: ignore[arg-type]  # a named vector is a list of floats


def _above(version: int) -> Json:
    return {"key": VERSION_FIELD, "range": {"gt": version}}


def _named_vectors(document: Document) -> Json:
    vectors = document.vectors
    if vectors is None:
        raise ValueError(f"no vectors for {document.key}")
    # Both vectors every time: on some servers an upsert without one keeps the old one.
    return {
        DENSE_VECTOR: vectors.dense,
        SPARSE_VECTOR: {"indices": vectors.sparse_indices, "values": vectors.sparse_values},
    }
