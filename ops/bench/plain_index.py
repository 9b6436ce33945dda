"""How a consumer without Lockstep writes Qdrant: embed what came, upsert it, delete what is gone.

Everything that costs time is the same as a worker's: the model through the same call, BM25, the point's shape.
"""

from collections.abc import Iterable
from typing import Any

import orjson
from qdrant_client import QdrantClient, models

from connectors.dense_encoder import load_dense_encoder
from connectors.sparse_encoder import SparseEncoder
from ops.bench.synthetic import KeyAndValue
from ops.settings import Settings
from schemas.document import DENSE_VECTOR, SPARSE_VECTOR, point_id
from schemas.recipe import Recipe


class PlainIndex:
    """One collection of the default recipe, which must exist. The model is loaded and warm."""

    def __init__(self, settings: Settings, collection: str) -> None:
        self._recipe = Recipe()
        self._dense = load_dense_encoder(
            self._recipe.model, threads=settings.embedding.threads, batch_size=settings.embedding.batch_size
        )
        self._sparse = SparseEncoder(self._recipe.sparse)
        self._dense.encode(["warm"])
        self._client = QdrantClient(
            url=settings.qdrant.url, timeout=round(settings.qdrant.timeout_seconds), check_compatibility=False
        )
        self._collection = collection

    def apply(self, records: Iterable[KeyAndValue]) -> int:
        """Write records in their order, of each key the last; gives the number of texts that were embedded.

        Raises:
            ResponseHandlingException: Qdrant cannot be reached; a part of the records may have been written.
        """
        last = {orjson.loads(key)["article_id"]: row_of(value) for key, value in records}
        rows = {key: row for key, row in last.items() if row is not None}
        if rows:
            self._client.upsert(self._collection, points=self._points(rows), wait=True)
        if gone := [point_id(key) for key, row in last.items() if row is None]:
            self._client.delete(self._collection, points_selector=models.PointIdsList(points=list(gone)), wait=True)
        return len(rows)

    def _points(self, rows: dict[str, dict[str, Any]]) -> list[models.PointStruct]:
        texts = [self._text(row) for row in rows.values()]
        vectors = zip(self._dense.encode(texts), self._sparse.encode(texts), strict=True)
        return [
            models.PointStruct(
                id=point_id(key),
                vector={
                    DENSE_VECTOR: dense.tolist(),
                    SPARSE_VECTOR: models.SparseVector(indices=words.indices, values=words.values),
                },
                payload=row,
            )
            for (key, row), (dense, words) in zip(rows.items(), vectors, strict=True)
        ]

    def _text(self, row: dict[str, Any]) -> str:
        return self._recipe.separator.join(row[column] for column in self._recipe.text_columns if row[column])


def row_of(value: bytes | None) -> dict[str, Any] | None:
    """The columns of a record in Debezium's flat form, the price as a number; None for a delete or a tombstone."""
    if value is None:
        return None
    record = orjson.loads(value)
    if record["__deleted"] == "true":
        return None
    row = {column: cell for column, cell in record.items() if not column.startswith("__")}
    return row | {"price": None if row["price"] is None else float(row["price"])}
