"""Searches a collection: both halves in one request, then the payloads of a page; and counts of values."""

from collections.abc import Iterable, Sequence, Set

from qdrant_client import AsyncQdrantClient, models

from schemas.document import DENSE_VECTOR, SPARSE_VECTOR, Vectors
from schemas.ranking import DEPTH, Candidate, Halves, RankedPoint
from schemas.search import FacetCount, FacetField, Filters, Hit, SearchMode, SearchQuery

FACET_VALUES = 100
"""Of a column with more values, the most frequent are counted."""

# Each function raises the client's own errors: `connectors.qdrant` turns them into ours.


async def find_halves(
    client: AsyncQdrantClient,
    collection: str,
    query: SearchQuery,
    vectors: Vectors,
    *,
    without: Set[str] = frozenset(),
    with_keys: bool = False,
) -> Halves:
    """The first 200 points of each half that the query's mode asks for, less those in `without`.

    `vectors` are the query's, made by the collection's recipe. A text without words has no half by words: a hybrid
    search for it is one by meaning, and a keyword search finds nothing. With `with_keys` points come with their
    `article_id`; a point of no row has none.
    """
    condition = _filter(query.filters, without)
    requests: dict[str, models.QueryRequest] = {}
    if query.mode is not SearchMode.KEYWORD:
        requests["semantic"] = _nearest(vectors.dense, DENSE_VECTOR, condition, with_keys)
    if query.mode is not SearchMode.SEMANTIC and vectors.sparse_indices:
        words = models.SparseVector(indices=vectors.sparse_indices, values=vectors.sparse_values)
        requests["keyword"] = _nearest(words, SPARSE_VECTOR, condition, with_keys)
    if not requests:
        return Halves(keyword=())
    answers = await client.query_batch_points(collection, list(requests.values()))
    halves = {name: _ranked(answer.points) for name, answer in zip(requests, answers, strict=True)}
    return Halves(**halves)


async def read_hits(client: AsyncQdrantClient, collection: str, candidates: Sequence[Candidate]) -> list[Hit]:
    """The candidates in their order with what their points hold; a point that is gone by now is left out."""
    if not candidates:
        return []
    points = await client.retrieve(collection, ids=[candidate.point for candidate in candidates], with_payload=True)
    payloads = {str(point.id): point.payload for point in points if point.payload and "name" in point.payload}
    return [
        Hit.of_payload(payload, candidate.score, candidate.ranks)
        for candidate in candidates
        if (payload := payloads.get(candidate.point)) is not None
    ]


async def count_values(
    client: AsyncQdrantClient, collection: str, field: FacetField, filters: Filters
) -> list[FacetCount]:
    """How many points that meet the filters have each value of a column, most frequent first; exact."""
    answer = await client.facet(collection, field, facet_filter=_filter(filters), limit=FACET_VALUES, exact=True)
    return [FacetCount(value=str(hit.value), count=hit.count) for hit in answer.hits]


def _nearest(
    vector: list[float] | models.SparseVector, using: str, condition: models.Filter | None, with_keys: bool
) -> models.QueryRequest:
    payload: list[str] | bool = ["article_id"] if with_keys else False
    return models.QueryRequest(query=vector, using=using, filter=condition, limit=DEPTH, with_payload=payload)


def _ranked(points: Iterable[models.ScoredPoint]) -> tuple[RankedPoint, ...]:
    return tuple(
        RankedPoint(str(point.id), point.score, point.payload.get("article_id") if point.payload else None)
        for point in points
    )


def _filter(filters: Filters, without: Set[str] = frozenset()) -> models.Filter | None:
    must: list[models.Condition] = [
        models.FieldCondition(key=column, match=models.MatchValue(value=value))
        for column, value in filters.values.items()
    ]
    if filters.price_min is not None or filters.price_max is not None:
        low, high = filters.price_min, filters.price_max
        price = models.Range(gte=None if low is None else float(low), lte=None if high is None else float(high))
        must.append(models.FieldCondition(key="price", range=price))
    excluded: list[models.Condition] = [models.HasIdCondition(has_id=sorted(without))] if without else []
    return models.Filter(must=must or None, must_not=excluded or None) if must or excluded else None
