"""Searches that are measured."""

import time
from collections.abc import Sequence

from ops.api.request_counters import RequestCounters
from ops.fresh_search import Rows
from ops.query_vectors import QueryVectors
from ops.search import SearchIndex, SearchService
from schemas.errors import LockstepError
from schemas.search import FacetField, SearchAnswer, SearchQuery


class CountedSearch(SearchService):
    """Answers as `SearchService` does, and notes how long each answer took; a search that fails has no latency."""

    def __init__(self, index: SearchIndex, vectors: QueryVectors, rows: Rows, counters: RequestCounters) -> None:
        super().__init__(index, vectors, rows)
        self._counters = counters

    async def search(
        self, query: SearchQuery, *, fresh: bool = False, facets: Sequence[FacetField] = ()
    ) -> SearchAnswer:
        """The answer, as `SearchService.search` says."""
        started = time.perf_counter()
        try:
            answer = await super().search(query, fresh=fresh, facets=facets)
        except LockstepError:
            self._counters.failed_searches[query.mode] += 1
            raise
        self._counters.searches[query.mode].observe(time.perf_counter() - started)
        return answer
