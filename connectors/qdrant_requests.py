"""What Lockstep sends to Qdrant: points, conditions and indexes in the client's own models."""

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


def point_of(document: Document) -> models.PointStruct:
    """The point, whole; the document must have vectors."""
    return models.PointStruct(id=point_id(document.key), vector=_named_vectors(document), payload=document.payload())


def overwrite_payload(document: Document) -> models.UpdateOperation:
    """Replace the payload of a point that has this text's vector and no newer version."""
    fingerprint = models.FieldCondition(
        key=FINGERPRINT_FIELD, match=models.MatchValue(value=document.provenance.embedding_fingerprint)
    )
    condition = models.Filter(
        must=[models.HasIdCondition(has_id=[point_id(document.key)]), fingerprint],
        must_not=[_above(document.provenance.version)],
    )
    return models.OverwritePayloadOperation(
        overwrite_payload=models.SetPayload(payload=document.payload(), filter=condition)
    )


def removals(deletions: Sequence[Deletion]) -> models.Filter:
    """The points to remove, one clause a point: each is judged by its own version."""
    clauses: list[models.Condition] = [
        models.Filter(must=[models.HasIdCondition(has_id=[point_id(d.key)])], must_not=[_above(d.version)])
        for d in deletions
    ]
    return models.Filter(should=clauses)


def none_newer(documents: Sequence[Document]) -> models.Filter:
    """The condition of an upsert, one clause a point: a point that carries a newer version is left alone.

    `must_not: version > mine`, since a point without the field matches no range and could never be written again.
    """
    clauses: list[models.Condition] = [
        models.Filter(must=[models.HasIdCondition(has_id=[point_id(d.key)]), _above(d.provenance.version)])
        for d in documents
    ]
    return models.Filter(must_not=clauses)


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


def _above(version: int) -> models.FieldCondition:
    return models.FieldCondition(key=VERSION_FIELD, range=models.Range(gt=version))


def _named_vectors(document: Document) -> dict[str, Any]:
    vectors = document.vectors
    if vectors is None:
        raise ValueError(f"no vectors for {document.key}")
    # Both vectors every time: on some servers an upsert without one keeps the old one.
    return {
        DENSE_VECTOR: vectors.dense,
        SPARSE_VECTOR: models.SparseVector(indices=vectors.sparse_indices, values=vectors.sparse_values),
    }
