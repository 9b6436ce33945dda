"""The searches over HTTP: what they answer, what they refuse, and what they say when a part is away."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from ops.api.app import Limits, create_api
from ops.api.operation import Scope
from ops.api.search_routes import AGE_HEADER, operations
from ops.query_vectors import QueryVectors
from ops.search import SearchService
from schemas.errors import EmbeddingError, ErrorKind, SourceError, VectorStoreError
from schemas.product import Product
from tests.fakes.search import FakeEmbedders, FakeIndex, FakeRows, IndexedProduct

Client = TestClient[web.Request, web.Application]


class OpenGate:
    unlocked = True

    async def authorize(self, request: web.Request, scope: Scope) -> str:
        assert scope is Scope.SEARCH
        return "local"


@dataclass
class Age:
    seconds: float | None = 1.26


def product(key: str, price: str | None = "19.90", color: str = "Black") -> Product:
    return Product(id=1, article_id=key, name=f"Top {key}", color=color, price=price and Decimal(price))


@dataclass
class Parts:
    index: FakeIndex
    rows: FakeRows
    embedders: FakeEmbedders = field(default_factory=FakeEmbedders)
    age: Age = field(default_factory=Age)


@pytest.fixture
def parts() -> Parts:
    products = [
        IndexedProduct(row=product("A1"), meaning=0.9),
        IndexedProduct(row=product("A2", color="White"), meaning=0.8, words=3.0),
        IndexedProduct(row=product("A3", price=None), meaning=0.7),
    ]
    return Parts(FakeIndex(products), FakeRows({each.row.article_id: each.row for each in products}))


@pytest.fixture
async def client(parts: Parts) -> AsyncIterator[Client]:
    service = SearchService(parts.index, QueryVectors(parts.embedders, waiting=1), parts.rows)
    app = create_api(operations(service, parts.age), gate=OpenGate(), limits=Limits(), host="127.0.0.1")
    async with TestClient(TestServer(app)) as client:
        yield client


async def get(client: Client, path: str = "/search", **params: Any) -> tuple[int, dict[str, Any]]:
    async with client.get(path, params={"q": "top"} | params) as answer:
        return answer.status, await answer.json()


async def test_each_hit_tells_which_half_found_it_and_where(client: Client) -> None:
    _, answer = await get(client)
    assert [(hit["article_id"], hit["ranks"]) for hit in answer["hits"]] == [
        ("A2", {"semantic": 2, "keyword": 1}),
        ("A1", {"semantic": 1, "keyword": None}),
        ("A3", {"semantic": 3, "keyword": None}),
    ]
    assert answer["hits"][0]["price"] == "19.90"
    assert answer["complete"] is True


async def test_one_half_alone_is_asked_at_its_own_address(client: Client) -> None:
    _, semantic = await get(client, "/search/semantic")
    _, keyword = await get(client, "/search/keyword")
    assert [hit["article_id"] for hit in semantic["hits"]] == ["A1", "A2", "A3"]
    assert [(hit["article_id"], hit["ranks"]) for hit in keyword["hits"]] == [("A2", {"semantic": None, "keyword": 1})]


async def test_pages_filters_and_facets(client: Client) -> None:
    _, page = await get(client, "/search/semantic", limit="1", offset="1")
    assert [hit["article_id"] for hit in page["hits"]] == ["A2"]
    _, filtered = await get(client, color="Black", price_min="19.90", price_max="19.9")
    assert [hit["article_id"] for hit in filtered["hits"]] == ["A1"]
    _, counted = await get(client, facets="color,department,color")
    assert list(counted["facets"]) == ["color", "department"]
    assert counted["facets"]["color"] == [{"value": "Black", "count": 3}]


async def test_fresh_search_shows_the_rows(client: Client, parts: Parts) -> None:
    parts.rows.rows = {"A1": product("A1", price="9.90")}
    _, answer = await get(client, fresh="true")
    assert [(hit["article_id"], hit["price"]) for hit in answer["hits"]] == [("A1", "9.90")]


async def test_answer_says_how_far_the_index_is_behind(client: Client, parts: Parts) -> None:
    async with client.get("/search?q=top") as answer:
        assert answer.headers[AGE_HEADER] == "1.3"
    parts.age.seconds = None
    async with client.get("/search?q=top") as answer:
        assert answer.status == 200
        assert AGE_HEADER not in answer.headers


WRONG: tuple[dict[str, str], ...] = (
    {"q": ""},
    {"q": " \t "},
    {"q": "x" * 1001},
    {"q": "nul\0"},
    {"limit": "0"},
    {"limit": "101"},
    {"limit": "ten"},
    {"offset": "-1"},
    {"offset": "200"},
    {"limit": "100", "offset": "101"},
    {"color": ""},
    {"color": "x" * 201},
    {"price_min": "-1"},
    {"price_min": "NaN"},
    {"price_min": "Infinity"},
    {"price_min": "1e3"},
    {"price_min": "1_000"},
    {"price_min": "1.0001"},
    {"price_max": "1" * 13},
    {"price_max": "9.99\n"},
    {"price_min": "10", "price_max": "9.99"},
    {"fresh": "maybe"},
    {"facets": "price"},
    {"facets": "color,"},
    {"facets": "color,_lockstep.version"},
    {"facets": ""},
    {"colour": "Black"},
    {"filter": '{"must": []}'},
)
AT_THE_EDGE: tuple[dict[str, str], ...] = (
    {"q": "x" * 1000},
    {"q": "💃 robe"},
    {"limit": "100", "offset": "100"},
    {"limit": "1", "offset": "199"},
    {"color": "' OR 1=1; DROP TABLE products; --"},
    {"color": '"}]}, "must_not": [{"key": "color"}]'},
    {"department": "x" * 200},
    {"price_min": "0", "price_max": "999999999999.999"},
    {"price_min": "9.99", "price_max": "9.99"},
    {"fresh": "false", "facets": "color,department,product_type,product_group,index_name"},
)


async def test_what_cannot_be_right_is_refused(client: Client, parts: Parts) -> None:
    for params in WRONG:
        status, problem = await get(client, **params)
        assert (params, status, problem["type"]) == (params, 422, "/docs/problems#invalid")
    assert parts.index.asked == []


async def test_what_lies_at_the_edge_is_answered(client: Client) -> None:
    for params in AT_THE_EDGE:
        status, answer = await get(client, **params)
        assert (params, status) == (params, 200)
        assert set(answer) == {"hits", "complete", "facets"}


async def test_search_without_a_text_is_refused(client: Client) -> None:
    async with client.get("/search") as answer:
        assert answer.status == 422
        assert [error["name"] for error in (await answer.json())["errors"]] == ["q"]


async def problem_of(client: Client, **params: str) -> tuple[int, str, bool]:
    async with client.get("/search", params={"q": "top"} | params) as answer:
        problem = await answer.json()
        return answer.status, problem["type"].partition("#")[2], "Retry-After" in answer.headers


async def test_search_answers_503_while_qdrant_is_away(client: Client, parts: Parts) -> None:
    parts.index.error = VectorStoreError("connection refused")
    assert await problem_of(client) == (503, "search-unavailable", True)
    parts.index.error = VectorStoreError("alias products does not exist", kind=ErrorKind.OUTAGE)
    assert await problem_of(client) == (503, "search-unavailable", True)
    parts.index.error = None
    assert (await get(client))[0] == 200


async def test_only_a_fresh_search_needs_postgres(client: Client, parts: Parts) -> None:
    parts.rows.error = SourceError("connection refused")
    assert await problem_of(client, fresh="true") == (503, "catalogue-unavailable", True)
    assert (await get(client))[0] == 200


async def test_model_that_cannot_run_is_no_fault_of_the_caller(client: Client, parts: Parts) -> None:
    parts.embedders.error = EmbeddingError("cannot load model", kind=ErrorKind.OUTAGE)
    assert await problem_of(client) == (503, "search-unavailable", True)


async def test_full_queue_of_queries_asks_for_patience(client: Client, parts: Parts) -> None:
    parts.embedders.hold()
    first = asyncio.create_task(get(client, q="first"))
    async with asyncio.timeout(5):
        while not parts.embedders.embedded:
            await asyncio.sleep(0)
    assert await problem_of(client, q="second") == (503, "overloaded", True)
    parts.embedders.go.set()
    status, _ = await first
    assert status == 200


async def test_every_search_is_documented(client: Client) -> None:
    async with client.get("/openapi.json") as answer:
        paths = (await answer.json())["paths"]
    for path in ("/search", "/search/semantic", "/search/keyword"):
        told = paths[path]["get"]
        assert AGE_HEADER in told["responses"]["200"]["headers"]
        assert {"200", "422", "503"} <= told["responses"].keys()
        parameters = {parameter["name"]: parameter for parameter in told["parameters"]}
        assert {"q", "limit", "offset", "price_min", "fresh", "facets"} <= parameters.keys()
