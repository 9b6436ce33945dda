"""A fresh search shows what the rows bear out, however far the index is behind."""

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ops import fresh_search
from ops.query_vectors import QueryVectors
from ops.search import SearchService
from schemas import ranking
from schemas.product import Product, price_text
from schemas.search import Filters, SearchAnswer, SearchMode, SearchQuery
from tests.fakes.search import FakeEmbedders, FakeIndex, FakeRows, IndexedProduct, indexed_by_qdrant

DEPTH = 4
KEYS = [f"A{number}" for number in range(16)]


def product(key: str, price: str | None = "10.00", color: str | None = "Black", name: str = "Top") -> Product:
    return Product(id=1, article_id=key, name=name, color=color, price=None if price is None else Decimal(price))


def service(index: FakeIndex, rows: FakeRows) -> SearchService:
    return SearchService(index, QueryVectors(FakeEmbedders()), rows)


async def fresh(
    indexed: list[IndexedProduct],
    rows: Mapping[str, Product],
    *,
    unreadable: frozenset[str] = frozenset(),
    **query: Any,
) -> SearchAnswer:
    searching = service(FakeIndex(indexed), FakeRows(rows, unreadable))
    return await searching.search(SearchQuery(text="x", **query), fresh=True)


def nearest_first(*rows: Product) -> list[IndexedProduct]:
    return [IndexedProduct(row=row, meaning=1 - place / 100) for place, row in enumerate(rows)]


async def test_present_price_and_text_are_shown() -> None:
    indexed = nearest_first(product("A1", price="19.90", name="Old name"))
    answer = await fresh(indexed, {"A1": product("A1", price="9.90", name="New name")})
    assert [(hit.price, hit.name) for hit in answer.hits] == [("9.90", "New name")]


async def test_deleted_row_is_not_shown_and_the_next_takes_its_place() -> None:
    indexed = nearest_first(product("A1"), product("A2"), product("A3"))
    answer = await fresh(indexed, {"A2": product("A2"), "A3": product("A3")}, limit=1)
    [hit] = answer.hits
    assert (hit.article_id, hit.ranks.semantic) == ("A2", 1)


async def test_row_that_left_the_price_range_is_not_shown() -> None:
    indexed = nearest_first(product("A1", price="10.00"), product("A2", price="10.00"))
    rows = {"A1": product("A1", price="10.01"), "A2": product("A2", price=None)}
    answer = await fresh(indexed, rows, filters=Filters(price_max=Decimal("10.00")))
    assert answer.hits == []
    assert answer.complete


async def test_row_that_cannot_be_read_is_not_shown() -> None:
    indexed = nearest_first(product("A1"), product("A2"))
    answer = await fresh(indexed, {"A1": product("A1"), "A2": product("A2")}, unreadable=frozenset({"A1"}))
    assert [hit.article_id for hit in answer.hits] == ["A2"]


async def test_rows_are_read_in_one_statement_and_none_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranking, "DEPTH", DEPTH)
    rows = FakeRows({key: product(key) for key in KEYS[1:]})
    index = FakeIndex(nearest_first(*map(product, KEYS)))
    await service(index, rows).search(SearchQuery(text="x", mode=SearchMode.SEMANTIC), fresh=True)
    assert rows.asked == [KEYS[:DEPTH], [KEYS[DEPTH]]]


async def test_more_is_asked_for_until_the_page_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranking, "DEPTH", DEPTH)
    alive = KEYS[2 * DEPTH :]
    answer = await fresh(nearest_first(*map(product, KEYS)), {key: product(key) for key in alive}, limit=DEPTH)
    assert [hit.article_id for hit in answer.hits] == alive[:DEPTH]
    assert answer.complete


async def test_giving_up_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranking, "DEPTH", 2)
    index = FakeIndex(nearest_first(*map(product, KEYS)))
    answer = await service(index, FakeRows({KEYS[-1]: product(KEYS[-1])})).search(SearchQuery(text="x"), fresh=True)
    assert (answer.hits, answer.complete) == ([], False)
    assert index.asked.count("halves") == 5


async def test_search_that_is_not_fresh_asks_postgres_nothing() -> None:
    rows = FakeRows()
    answer = await service(FakeIndex(nearest_first(product("A1"))), rows).search(SearchQuery(text="x"))
    assert [hit.article_id for hit in answer.hits] == ["A1"]
    assert rows.asked == []


PRICES = st.none() | st.sampled_from(["0.00", "9.99", "10.00", "10.01", "19.90", "99999999.99"])
COLORS = st.none() | st.sampled_from(["Black", "White"])
ROWS = st.fixed_dictionaries({}, optional={key: st.builds(product, st.just(key), PRICES, COLORS) for key in KEYS})
SCORES = st.integers(0, 5).map(float)
BOUNDS = st.none() | st.sampled_from(["9.99", "10.00", "10.01"]).map(Decimal)


@st.composite
def stale_indexes(draw: st.DrawFn) -> tuple[list[IndexedProduct], dict[str, Product]]:
    """Points of rows as they were, and the rows now: changed, gone, or the same."""
    before, now = draw(ROWS), dict(draw(ROWS))
    now |= {key: row for key, row in before.items() if draw(st.booleans())}
    words = st.none() | SCORES
    return [IndexedProduct(row=row, meaning=draw(SCORES), words=draw(words)) for row in before.values()], now


@settings(max_examples=200, deadline=None)
@given(
    stale=stale_indexes(),
    mode=st.sampled_from(SearchMode),
    color=COLORS,
    bounds=st.tuples(BOUNDS, BOUNDS),
    limit=st.integers(1, 3),
)
@example(
    stale=(nearest_first(product("A1", price="10.01")), {"A1": product("A1", price="10.00")}),
    mode=SearchMode.HYBRID,
    color=None,
    bounds=(None, None),
    limit=1,
)
async def test_fresh_pages_are_those_of_an_index_without_what_the_rows_deny(
    stale: tuple[list[IndexedProduct], dict[str, Product]],
    mode: SearchMode,
    color: str | None,
    bounds: tuple[Decimal | None, Decimal | None],
    limit: int,
) -> None:
    indexed, rows = stale
    low, high = bounds
    if low is not None and high is not None and low > high:
        low, high = high, low
    filters = Filters(color=color, price_min=low, price_max=high)
    borne_out = [
        each
        for each in indexed
        if (row := rows.get(each.row.article_id)) is not None and indexed_by_qdrant(filters, row)
    ]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(ranking, "DEPTH", DEPTH)
        patched.setattr(fresh_search, "ROUNDS", len(KEYS) + 1)  # each round rejects a point, or is the last
        query = SearchQuery(text="x", mode=mode, filters=filters, limit=limit)
        seen: list[str] = []
        for offset in range(0, 2 * DEPTH, limit):
            page = query.model_copy(update={"offset": offset})
            answer = await service(FakeIndex(indexed), FakeRows(rows)).search(page, fresh=True)
            wanted = await service(FakeIndex(borne_out), FakeRows()).search(page)
            assert [hit.article_id for hit in answer.hits] == [hit.article_id for hit in wanted.hits]
            assert [(hit.score, hit.ranks) for hit in answer.hits] == [(hit.score, hit.ranks) for hit in wanted.hits]
            assert [hit.price for hit in answer.hits] == [price_text(rows[h.article_id].price) for h in answer.hits]
            assert answer.complete
            seen += [hit.article_id for hit in answer.hits]
    assert len(seen) == len(set(seen))


@settings(max_examples=100, deadline=None)
@given(stale=stale_indexes(), color=COLORS)
async def test_a_search_that_gives_up_still_shows_nothing_that_the_rows_deny(
    stale: tuple[list[IndexedProduct], dict[str, Product]], color: str | None
) -> None:
    indexed, rows = stale
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(ranking, "DEPTH", 1)
        patched.setattr("ops.fresh_search.ROUNDS", 2)
        answer = await fresh(indexed, rows, filters=Filters(color=color), limit=2)
    for hit in answer.hits:
        row = rows[hit.article_id]
        assert color in (None, row.color)
        assert (hit.price, hit.color) == (price_text(row.price), row.color)


def test_the_row_is_matched_as_its_point_would_be() -> None:
    row = product("A1", price="19.90")
    for low, high, found in (
        ("19.90", None, True),
        (None, "19.90", True),
        ("19.91", None, False),
        (None, "19.89", False),
    ):
        filters = Filters(price_min=low and Decimal(low), price_max=high and Decimal(high))
        assert filters.match(row) is found
        assert indexed_by_qdrant(filters, row) is found
    assert not Filters(price_min=Decimal(0)).match(replace(row, price=None))
    assert Filters().match(replace(row, price=None))
    assert not Filters(color="Black").match(replace(row, color=None))
    assert not Filters(color="black").match(row)
