"""What searches rely on: the endpoint and, when one is named, a real server give what our own code reckons with."""

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from decimal import Decimal
from itertools import product as every
from typing import Any
from uuid import uuid4

import pytest
from qdrant_client import AsyncQdrantClient, models

from connectors.qdrant import QdrantStore, open_client
from ops.query_vectors import QueryVectors
from ops.search import SearchService
from schemas.document import KEYWORD_FILTERS, Document, Provenance, Vectors, point_id
from schemas.product import Product, row_hash
from schemas.ranking import DEPTH
from schemas.recipe import Recipe
from schemas.search import FacetCount, FacetField, Filters, SearchMode, SearchQuery
from tests.contract.qdrant_server import qdrant_url
from tests.fakes.search import FakeRows

RECIPE = Recipe(dimensions=4)
QUERY = Vectors(dense=[1.0, 0.2, 0.1, 0.3], sparse_indices=[1, 2], sparse_values=[1.0, 1.0])
PRICES = (None, "0.00", "0.10", "19.89", "19.90", "19.91", "99999999.98", "99999999.99")
COLORS = (None, "Black", "black", 'Bl"ack', "Noir}]}", "Schwarz ⚫")


def document(number: int, chance: random.Random, **columns: Any) -> Document:
    row = Product(id=number, article_id=f"A{number}", name=f"Product {number}", **columns)
    indices = sorted(chance.sample(range(1, 8), chance.randint(0, 4)))
    return Document(
        row=row,
        vectors=Vectors(
            dense=[chance.gauss(0, 1) for _ in range(4)],
            sparse_indices=indices,
            sparse_values=[chance.uniform(0.1, 2) for _ in indices],
        ),
        provenance=Provenance(
            version=number + 1,
            lsn=7,
            operation="u",
            source_time=None,
            recipe=RECIPE.recipe_id,
            embedding_fingerprint="f",
            row_hash=row_hash(row.to_bytes()),
            indexed_at="2026-11-20T10:00:01.000000Z",
            source=f"t[0]@{number}",
        ),
    )


def catalogue() -> list[Document]:
    """More points than a half brings, every price with every colour among them."""
    chance = random.Random(7)
    pairs = list(every(PRICES, COLORS)) * 5
    return [
        document(number, chance, price=price and Decimal(price), color=color, department=f"D{number % 3}")
        for number, (price, color) in enumerate(pairs)
    ]


CATALOGUE = catalogue()


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with qdrant_url(tmp_path_factory.mktemp("qdrant")) as address:
        yield address


@pytest.fixture(scope="module")
def name() -> str:
    return f"test-{uuid4().hex[:8]}"


@pytest.fixture(scope="module")
def filled(url: str, name: str) -> Iterator[None]:
    async def fill() -> None:
        async with open_client(url, api_key=None, timeout_seconds=10) as client:
            store = QdrantStore(client, alias=name)
            await store.create_collection(f"{name}-1", RECIPE)
            await store.point_alias(f"{name}-1")
            await store.upsert(f"{name}-1", CATALOGUE)

    async def drop() -> None:
        async with open_client(url, api_key=None, timeout_seconds=10) as client:
            await client.delete_collection(f"{name}-1")

    asyncio.run(fill())
    yield
    asyncio.run(drop())


@pytest.fixture
async def client(url: str, filled: None) -> AsyncIterator[AsyncQdrantClient]:
    async with open_client(url, api_key=None, timeout_seconds=10) as client:
        yield client


@pytest.fixture
def store(client: AsyncQdrantClient, name: str) -> QdrantStore:
    return QdrantStore(client, alias=name)


class _OneQuery:
    async def for_recipe(self, recipe: Recipe) -> "_OneQuery":
        return self

    async def embed_query(self, text: str) -> Vectors:
        return QUERY


def service(store: QdrantStore, rows: FakeRows | None = None) -> SearchService:
    return SearchService(store, QueryVectors(_OneQuery()), rows or FakeRows())


def query(mode: SearchMode = SearchMode.HYBRID, **given: Any) -> SearchQuery:
    return SearchQuery(text="x", mode=mode, **given)


async def test_our_fusion_gives_the_scores_of_qdrants_own(
    client: AsyncQdrantClient, store: QdrantStore, name: str
) -> None:
    words = models.SparseVector(indices=QUERY.sparse_indices, values=QUERY.sparse_values)
    theirs = await client.query_points(
        name,
        prefetch=[
            models.Prefetch(query=QUERY.dense, using="dense", limit=DEPTH),
            models.Prefetch(query=words, using="bm25", limit=DEPTH),
        ],
        query=models.FusionQuery(fusion=models.Fusion.RRF),
        limit=2 * DEPTH,
    )
    ours = (await store.halves(name, query(), QUERY)).in_order()
    assert {c.point: c.score for c in ours} == pytest.approx({str(p.id): p.score for p in theirs.points}, abs=1e-6)


async def test_ranks_are_the_places_in_the_searches_of_one_half(store: QdrantStore) -> None:
    places = {}
    for mode in (SearchMode.SEMANTIC, SearchMode.KEYWORD):
        hits = [
            hit for page in (0, 100) for hit in (await service(store).search(query(mode, limit=100, offset=page))).hits
        ]
        places[mode] = {hit.article_id: rank for rank, hit in enumerate(hits, 1)}
        assert [getattr(hit.ranks, mode) for hit in hits] == list(range(1, len(hits) + 1))
    fused = (await service(store).search(query(limit=100))).hits
    assert any(hit.ranks.keyword is None for hit in fused) or any(hit.ranks.semantic is None for hit in fused)
    for hit in fused:
        assert hit.ranks.semantic == places[SearchMode.SEMANTIC].get(hit.article_id)
        assert hit.ranks.keyword == places[SearchMode.KEYWORD].get(hit.article_id)


@pytest.mark.parametrize("mode", SearchMode)
@pytest.mark.parametrize("fresh", [False, True])
async def test_pages_repeat_nothing_and_leave_nothing_out(store: QdrantStore, mode: SearchMode, fresh: bool) -> None:
    rows = FakeRows({each.key: each.row for each in CATALOGUE})

    async def pages(size: int) -> list[str]:
        found = []
        for offset in range(0, DEPTH, size):
            answer = await service(store, rows).search(query(mode, limit=size, offset=offset), fresh=fresh)
            found += [hit.article_id for hit in answer.hits]
        return found

    whole = await pages(100)
    assert len(whole) == len(set(whole)) >= 100
    assert await pages(8) == whole


async def test_price_bounds_mean_the_same_in_qdrant_and_on_a_row(store: QdrantStore) -> None:
    bounds = [None if price is None else Decimal(price) for price in PRICES]
    for low, high in every(bounds, bounds):
        if low is None or high is None or low <= high:
            await agree(store, Filters(price_min=low, price_max=high))


async def test_values_mean_the_same_in_qdrant_and_on_a_row(store: QdrantStore) -> None:
    for color in (*COLORS[1:], "", "null", '"', "\0", "\\", '{"must": []}', "' OR true --", "é" * 1000):
        await agree(store, Filters(color=color))
        await agree(store, Filters(color=color, department="D1"))


async def agree(store: QdrantStore, filters: Filters) -> None:
    """Both find the same products; facets count as many."""
    name = (await store.live_collection()).name
    points = (await store.halves(name, query(SearchMode.SEMANTIC, filters=filters), QUERY)).semantic or ()
    matching = {point_id(each.key) for each in CATALOGUE if filters.match(each.row)}
    assert {ranked.point for ranked in points} <= matching
    assert len(points) == min(len(matching), DEPTH)
    [counts] = (await store.facets(name, [FacetField.DEPARTMENT], filters)).values()
    assert sum(count.count for count in counts) == len(matching)


async def test_facets_count_each_value_under_the_filters(store: QdrantStore) -> None:
    filters = Filters(price_min=Decimal("19.90"), price_max=Decimal("19.90"))
    answer = await service(store).search(
        query(filters=filters), facets=[FacetField.COLOR, FacetField.DEPARTMENT, FacetField.INDEX_NAME]
    )
    assert answer.facets[FacetField.COLOR] == [
        FacetCount(value=color, count=5) for color in sorted(c for c in COLORS if c is not None)
    ]
    assert sum(count.count for count in answer.facets[FacetField.DEPARTMENT]) == 30
    assert answer.facets[FacetField.INDEX_NAME] == []


def test_what_can_be_counted_is_what_can_be_filtered_by() -> None:
    assert set(FacetField) == set(KEYWORD_FILTERS)


async def test_excluded_points_make_room_for_the_next(store: QdrantStore) -> None:
    name = (await store.live_collection()).name
    whole = (await store.halves(name, query(SearchMode.SEMANTIC), QUERY)).in_order()
    gone = {candidate.point for candidate in whole[:50]}
    rest = (await store.halves(name, query(SearchMode.SEMANTIC), QUERY, without=gone, with_keys=True)).in_order()
    assert [c.point for c in rest[:150]] == [c.point for c in whole[50:]]
    assert len(rest) == min(DEPTH, len(CATALOGUE) - 50)
    assert all(candidate.article_id is not None for candidate in rest)


async def test_a_price_and_a_delete_that_have_not_reached_qdrant_do_not_show(store: QdrantStore) -> None:
    plain = (await service(store).search(query(limit=5))).hits
    gone, dearer, *others = (hit.article_id for hit in plain)
    rows = {each.key: each.row for each in CATALOGUE if each.key != gone}
    rows[dearer] = replace(rows[dearer], price=Decimal("123.45"), name="New name")
    answer = await service(store, FakeRows(rows)).search(query(limit=5), fresh=True)
    shown = {hit.article_id: hit for hit in answer.hits}
    assert gone not in shown
    assert (shown[dearer].price, shown[dearer].name) == ("123.45", "New name")
    assert set(others) <= shown.keys()
    assert len(answer.hits) == 5


async def test_text_without_words_is_searched_by_meaning_and_by_words_finds_nothing(store: QdrantStore) -> None:
    name = (await store.live_collection()).name
    wordless = replace(QUERY, sparse_indices=[], sparse_values=[])
    [hit] = await store.search(name, query(limit=1), wordless)
    assert (hit.ranks.semantic, hit.ranks.keyword) == (1, None)
    assert await store.search(name, query(SearchMode.KEYWORD), wordless) == []


async def test_point_of_no_row_is_never_shown(client: AsyncQdrantClient, store: QdrantStore, name: str) -> None:
    """As the worker's probe, which is there for a moment."""
    probe = models.PointStruct(id=str(uuid4()), vector={"dense": QUERY.dense}, payload={})
    await client.upsert(f"{name}-1", [probe], wait=True)
    try:
        rows = FakeRows({each.key: each.row for each in CATALOGUE})
        for fresh in (False, True):
            answer = await service(store, rows).search(query(SearchMode.SEMANTIC), fresh=fresh)
            assert [hit.ranks.semantic for hit in answer.hits] == (list(range(1, 11)) if fresh else list(range(2, 11)))
    finally:
        await client.delete(f"{name}-1", [probe.id], wait=True)
