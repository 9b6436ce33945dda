"""What a consumer left wrong: its collection beside the rows that the topic's records end in.

The same look for every consumer, over columns and vectors: only Lockstep's points have a provenance to compare.
"""

import math
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qdrant_client import AsyncQdrantClient

from ops.reconcile.vectors import LEAST_COSINE
from schemas.document import DENSE_VECTOR, point_id
from schemas.product import COLUMNS, Product

PAGE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftWrong:
    """Counts of points, by what is wrong with them."""

    missing: int = 0
    """Rows without a point."""
    orphaned: int = 0
    """Points without a row: what was deleted is still found."""
    stale: int = 0
    """Points with a column that is not the row's."""
    drifted: int = 0
    """Points whose vector is not that of the row's text."""

    @property
    def total(self) -> int:
        """All together; a point that is both stale and drifted counts twice."""
        return sum(getattr(self, kind.name) for kind in fields(self))

    def __str__(self) -> str:
        return ", ".join(f"{getattr(self, kind.name):,} {kind.name}" for kind in fields(self))


async def left_wrong(
    client: AsyncQdrantClient,
    collection: str,
    rows: Mapping[str, Product],
    vectors: Mapping[str, NDArray[np.float32]],
) -> LeftWrong:
    """Look at every point. `vectors` are the rows' own, of length 1, by key."""
    keys = {point_id(key): key for key in rows}
    found = orphaned = stale = drifted = 0
    async for point in _points(client, collection):
        key = keys.get(str(point.id))
        if key is None:
            orphaned += 1
            continue
        found += 1
        stale += not same_columns(point.payload or {}, rows[key])
        drifted += _cosine(point.vector, vectors[key]) < LEAST_COSINE
    return LeftWrong(missing=len(rows) - found, orphaned=orphaned, stale=stale, drifted=drifted)


def same_columns(payload: Mapping[str, Any], row: Product) -> bool:
    """Whether the row's columns stand in the payload; what else stands there is the writer's."""
    wanted = row.payload()
    return all(_same(payload.get(column), wanted[column]) for column in COLUMNS)


def _same(stored: Any, wanted: Any) -> bool:
    # A double may read back one unit in the last place off.
    if isinstance(stored, float) and isinstance(wanted, float):
        return math.isclose(stored, wanted, rel_tol=1e-12)
    return bool(stored == wanted)


def _cosine(vector: Any, wanted: NDArray[np.float32]) -> float:
    """0 for a point without a vector."""
    dense = np.asarray((vector or {}).get(DENSE_VECTOR, []), dtype=np.float32)
    length = float(np.linalg.norm(dense))
    return float(dense @ wanted) / length if length and dense.shape == wanted.shape else 0.0


async def _points(client: AsyncQdrantClient, collection: str) -> AsyncIterator[Any]:
    offset: Any = None
    while True:
        page, offset = await client.scroll(
            collection, limit=PAGE, offset=offset, with_payload=True, with_vectors=[DENSE_VECTOR]
        )
        for point in page:
            yield point
        if offset is None:
            return
