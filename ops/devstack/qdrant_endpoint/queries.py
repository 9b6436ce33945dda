"""REST's reads as the engine's requests."""

from __future__ import annotations  # the engine has its type aliases for type checkers only

from collections.abc import Callable
from datetime import date
from typing import Any
from uuid import UUID

import qdrant_edge as edge
from qdrant_client.http import models

from ops.devstack.qdrant_endpoint.filters import optional_filter, point_id
from ops.devstack.qdrant_endpoint.points import UNNAMED_VECTOR, VectorShapes, edge_vector
from ops.devstack.qdrant_endpoint.refusals import not_served, wrong_input

DEFAULT_LIMIT = 10
_DEFAULT_RRF_K = 2  # the server's own
_DEFAULT_DIVERSITY = 0.5

StoredVector = Callable[["edge.PointId", str], "edge.NamedVector"]
"""The vector of that name which a point carries; a `Refusal` when there is none."""


def scroll_request(given: models.ScrollRequest) -> edge.ScrollRequest:
    """A page in the order of ids, or of a payload key."""
    return edge.ScrollRequest(
        offset=None if given.offset is None else point_id(given.offset),
        limit=positive_limit(given.limit),
        filter=optional_filter(given.filter),
        with_payload=payload_selection(given.with_payload, default=True),
        with_vector=given.with_vector or False,
        order_by=None if given.order_by is None else _order_by(given.order_by),
    )


def facet_request(given: models.FacetRequest) -> edge.FacetRequest:
    """How often each value of a key occurs."""
    return edge.FacetRequest(
        given.key, limit=positive_limit(given.limit), exact=given.exact or False, filter=optional_filter(given.filter)
    )


def query_request(given: models.QueryRequest, shapes: VectorShapes, stored_vector: StoredVector) -> edge.QueryRequest:
    """A search: nearest, fused, ordered or sampled, over stages of prefetch."""
    if given.shard_key is not None:
        raise not_served("a shard key")
    stages = _Stages(shapes, stored_vector)
    query, excluded = stages.query(given)
    return edge.QueryRequest(
        limit=positive_limit(given.limit),
        offset=given.offset or 0,
        query=query,
        prefetches=stages.prefetches(given.prefetch),
        with_vector=given.with_vector or False,
        with_payload=payload_selection(given.with_payload, default=False),
        filter=_filter_without(given.filter, excluded),
        score_threshold=given.score_threshold,
        params=_search_params(given.params),
    )


def payload_selection(given: models.WithPayloadInterface | None, *, default: bool) -> edge.WithPayloadType:
    """Which keys of the payload to read."""
    match given:
        case None:
            return default
        case models.PayloadSelectorInclude():
            return edge.PayloadSelector.Include(given.include)
        case models.PayloadSelectorExclude():
            return edge.PayloadSelector.Exclude(given.exclude)
        case _:
            return given


def positive_limit(given: int | None) -> int:
    """The limit asked for, or the server's default of 10."""
    if given is None:
        return DEFAULT_LIMIT
    if given < 1:
        raise wrong_input(f"limit {given} must be 1 or more")
    return given


class _Stages:
    """Converts the query of each stage, the prefetches inside it too."""

    def __init__(self, shapes: VectorShapes, stored_vector: StoredVector) -> None:
        self._shapes = shapes
        self._stored_vector = stored_vector

    def prefetches(self, given: list[models.Prefetch] | models.Prefetch | None) -> list[edge.Prefetch]:
        if given is None:
            return []
        return [self._prefetch(stage) for stage in (given if isinstance(given, list) else [given])]

    def _prefetch(self, given: models.Prefetch) -> edge.Prefetch:
        query, excluded = self.query(given)
        return edge.Prefetch(
            limit=positive_limit(given.limit),
            query=query,
            prefetches=self.prefetches(given.prefetch),
            params=_search_params(given.params),
            filter=_filter_without(given.filter, excluded),
            score_threshold=given.score_threshold,
        )

    def query(self, given: models.QueryRequest | models.Prefetch) -> tuple[Any, edge.PointId | None]:
        """The stage's query, and the point to leave out because its own vector is what is searched for."""
        if given.lookup_from is not None:
            raise not_served("a vector looked up in another collection")
        using = given.using or UNNAMED_VECTOR
        match given.query:
            case None:
                return None, None
            case models.FusionQuery(fusion=models.Fusion.RRF):
                return edge.Fusion.Rrf(_DEFAULT_RRF_K), None
            case models.FusionQuery(fusion=models.Fusion.DBSF):
                return edge.Fusion.Dbsf(), None
            case models.RrfQuery(rrf=rrf):
                return edge.Fusion.Rrf(_DEFAULT_RRF_K if rrf.k is None else rrf.k, weights=rrf.weights), None
            case models.OrderByQuery(order_by=order_by):
                return _order_by(order_by), None
            case models.SampleQuery():
                return edge.Sample.Random, None
            case models.NearestQuery(nearest=nearest, mmr=mmr):
                return self._nearest(nearest, mmr, using, given.limit)
            case list() | models.SparseVector() | int() | str() | UUID():
                return self._nearest(given.query, None, using, given.limit)
            case other:
                raise not_served(f"the query {type(other).__name__}")

    def _nearest(
        self, target: models.VectorInput, mmr: models.Mmr | None, using: str, limit: int | None
    ) -> tuple[Any, edge.PointId | None]:
        excluded = None
        if isinstance(target, int | str | UUID):
            excluded = point_id(target)
            vector = self._stored_vector(excluded, using)
        else:
            vector = edge_vector(using, target, self._shapes)
        if mmr is None:
            return edge.Query.Nearest(vector, using), excluded
        diversity = _DEFAULT_DIVERSITY if mmr.diversity is None else mmr.diversity
        candidates = mmr.candidates_limit or positive_limit(limit)
        return edge.Mmr(vector, 1.0 - diversity, candidates, using=using), excluded


def _filter_without(given: models.Filter | None, excluded: edge.PointId | None) -> edge.Filter | None:
    converted = optional_filter(given)
    if excluded is None:
        return converted
    return edge.Filter(must=[converted] if converted else None, must_not=[edge.HasIdCondition({excluded})])


def _search_params(given: models.SearchParams | None) -> edge.SearchParams | None:
    # Without an optimiser every search is exact: what tunes an approximate one has nothing to tune here.
    if given is None:
        return None
    if given.indexed_only or given.idf is not None:
        raise not_served("a search over indexed points only, or with another corpus for idf")
    return edge.SearchParams(hnsw_ef=given.hnsw_ef, exact=given.exact or False)


def _order_by(given: models.OrderByInterface) -> edge.OrderBy:
    if isinstance(given, str):
        return edge.OrderBy(given)
    start = given.start_from.isoformat() if isinstance(given.start_from, date) else given.start_from
    direction = edge.Direction.Desc if given.direction is models.Direction.DESC else edge.Direction.Asc
    return edge.OrderBy(given.key, direction, start)
