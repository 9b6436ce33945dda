"""Searches a collection in one request: dense, BM25, or both fused by reciprocal rank."""

from typing import Any

from qdrant_client import AsyncQdrantClient, models

from schemas.document import DENSE_VECTOR, KEYWORD_FILTERS, PROVENANCE, SPARSE_VECTOR, Vectors
from schemas.search import Filters, Hit, SearchMode, SearchQuery

CANDIDATES_AT_LEAST = 100
"""Each half of a hybrid search brings this many, so that fusion sees hits that only one half ranks high."""


async def search_points(client: AsyncQdrantClient, collection: str, query: SearchQuery, vectors: Vectors) -> list[Hit]:
    """The hits from `query.offset` on, best first. `vectors` are the query's, made by the collection's recipe.

    A keyword search for a text without words finds nothing.
    Raises the client's own errors: `connectors.qdrant` turns them into ours.
    """
    condition = _filter(query.filters)
    sparse = models.SparseVector(indices=vectors.sparse_indices, values=vectors.sparse_values)
    halves = {SearchMode.SEMANTIC: (vectors.dense, DENSE_VECTOR), SearchMode.KEYWORD: (sparse, SPARSE_VECTOR)}
    if not vectors.sparse_indices and query.mode is SearchMode.KEYWORD:
        return []
    how: dict[str, Any]
    if query.mode is SearchMode.HYBRID and vectors.sparse_indices:
        depth = max(CANDIDATES_AT_LEAST, query.offset + query.limit)
        how = {
            "prefetch": [
                models.Prefetch(query=vector, using=using, filter=condition, limit=depth)
                for vector, using in halves.values()
            ],
            "query": models.FusionQuery(fusion=models.Fusion.RRF),
        }
    else:
        # A hybrid search for a text without words has one half only.
        mode = SearchMode.SEMANTIC if query.mode is SearchMode.HYBRID else query.mode
        vector, using = halves[mode]
        how = {"query": vector, "using": using, "query_filter": condition}
    answer = await client.query_points(
        collection, **how, limit=query.limit, offset=query.offset or None, with_payload=True
    )
    return [_hit(point.score, point.payload) for point in answer.points if point.payload and "name" in point.payload]


def _filter(filters: Filters) -> models.Filter | None:
    must: list[models.Condition] = [
        models.FieldCondition(key=column, match=models.MatchValue(value=value))
        for column in KEYWORD_FILTERS
        if (value := getattr(filters, column)) is not None
    ]
    if filters.price_min is not None or filters.price_max is not None:
        low, high = filters.price_min, filters.price_max
        price = models.Range(gte=None if low is None else float(low), lte=None if high is None else float(high))
        must.append(models.FieldCondition(key="price", range=price))
    return models.Filter(must=must) if must else None


def _hit(score: float, payload: dict[str, Any]) -> Hit:
    provenance = payload.get(PROVENANCE) or {}
    return Hit(
        article_id=payload["article_id"],
        score=score,
        name=payload["name"],
        description=payload.get("description"),
        product_type=payload.get("product_type"),
        color=payload.get("color"),
        department=payload.get("department"),
        price=payload.get("price_text"),
        version=provenance.get("version") or 0,
        indexed_at=provenance.get("indexed_at"),
    )
