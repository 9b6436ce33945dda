"""Searches are measured by mode, and one that fails has no latency."""

import pytest

from ops.api.request_counters import RequestCounters
from ops.counted_search import CountedSearch
from ops.query_vectors import QueryVectors
from schemas.errors import VectorStoreError
from schemas.search import SearchMode, SearchQuery
from tests.fakes.search import FakeEmbedders, FakeIndex, FakeRows

QUERY = SearchQuery(text="hat", mode=SearchMode.KEYWORD)


async def test_an_answer_is_measured_under_its_mode() -> None:
    counters = RequestCounters()
    service = CountedSearch(FakeIndex(), QueryVectors(FakeEmbedders()), FakeRows({}), counters)
    assert (await service.search(QUERY)).hits == []
    assert {mode: spent.count for mode, spent in counters.searches.items()} == {
        "hybrid": 0,
        "semantic": 0,
        "keyword": 1,
    }
    assert counters.failed_searches.total() == 0


async def test_a_search_that_fails_is_counted_and_not_measured() -> None:
    counters = RequestCounters()
    index = FakeIndex(error=VectorStoreError("qdrant is down"))
    service = CountedSearch(index, QueryVectors(FakeEmbedders()), FakeRows({}), counters)
    with pytest.raises(VectorStoreError):
        await service.search(QUERY)
    assert counters.failed_searches[SearchMode.KEYWORD] == 1
    assert counters.searches[SearchMode.KEYWORD].count == 0
