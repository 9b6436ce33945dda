"""What is read of a request, and what is refused."""

import asyncio
import gzip
import json
from io import BytesIO
from typing import Any

import pytest
from aiohttp.test_utils import TestClient
from pydantic import BaseModel, Field
from yarl import URL

from ops.api.app import Limits
from ops.api.operation import Call, Operation, Reply, Success
from ops.api.request_reader import MOST_FAULTS
from tests.fakes.api import operation, served


class ThingPath(BaseModel):
    key: str = Field(max_length=10)


class ThingQuery(BaseModel, extra="forbid"):
    limit: int = Field(default=10, ge=1, le=100)
    color: list[str] | None = None
    q: str | None = None


class ThingHeaders(BaseModel):
    if_match: str | None = Field(default=None, alias="If-Match", pattern='^"')


class ThingBody(BaseModel, extra="forbid"):
    name: str
    size: int = 1


class Seen(BaseModel):
    path: ThingPath
    query: ThingQuery
    body: ThingBody
    if_match: str | None


async def _show(call: Call[ThingPath, ThingQuery, ThingBody]) -> Reply:
    return Reply(body=Seen(path=call.path, query=call.query, body=call.body, if_match=call.headers.get("if-match")))


SHOW: Operation = operation(
    method="PUT",
    path="/thing/{key}",
    handler=_show,
    path_model=ThingPath,
    query_model=ThingQuery,
    header_model=ThingHeaders,
    body_model=ThingBody,
    successes=(Success(description="What was read.", model=Seen),),
)
JSON = {"Content-Type": "application/json"}


async def _put(client: TestClient[Any, Any], path: str, body: bytes = b'{"name":"hat"}', **headers: str) -> Any:

    sent = JSON | {name.replace("_", "-"): value for name, value in headers.items()}
    async with client.put(URL(path, encoded=True), data=body, headers=sent) as response:
        return response.status, await response.json()


async def test_every_part_of_a_request_reaches_the_operation_as_its_model() -> None:
    async with served(SHOW) as client:
        status, seen = await _put(
            client, "/thing/a%2Fb%20%C3%A9?limit=3&color=Red&color=Dark%20Blue&q=", b'{"name":"hat"}', If_Match='"1"'
        )
    assert status == 200
    assert seen == {
        "path": {"key": "a/b é"},
        "query": {"limit": 3, "color": ["Red", "Dark Blue"], "q": ""},
        "body": {"name": "hat", "size": 1},
        "if_match": '"1"',
    }


@pytest.mark.parametrize(
    ("path", "body", "location", "name"),
    [
        pytest.param("/thing/a?limt=3", b'{"name":"hat"}', "query", "limt", id="unknown parameter"),
        pytest.param("/thing/a?limit=101", b'{"name":"hat"}', "query", "limit", id="parameter out of bounds"),
        pytest.param("/thing/a?limit=3&limit=4", b'{"name":"hat"}', "query", "limit", id="parameter twice"),
        pytest.param("/thing/a?q=%00", b'{"name":"hat"}', "query", "q", id="NUL in the query"),
        pytest.param("/thing/a?color=a&color=%00", b'{"name":"hat"}', "query", "color", id="NUL in a list"),
        pytest.param("/thing/a?%00=1", b'{"name":"hat"}', "query", "\0", id="NUL in a name"),
        pytest.param("/thing/a%00", b'{"name":"hat"}', "path", "key", id="NUL in the path"),
        pytest.param("/thing/abcdefghijk", b'{"name":"hat"}', "path", "key", id="path out of bounds"),
        pytest.param("/thing/a", b'{"name":"hat","colour":"red"}', "body", "colour", id="unknown field"),
        pytest.param("/thing/a", b'{"size":2}', "body", "name", id="missing field"),
        pytest.param("/thing/a", b'{"name":null}', "body", "name", id="null"),
        pytest.param("/thing/a", b"[]", "body", "", id="no object"),
    ],
)
async def test_what_the_models_do_not_allow_is_422_and_named(path: str, body: bytes, location: str, name: str) -> None:
    async with served(SHOW) as client:
        status, problem = await _put(client, path, body)
    assert status == 422
    assert problem["type"] == "/docs/problems#invalid"
    assert [(part["location"], part["name"]) for part in problem["errors"]] == [(location, name)]


async def test_a_header_that_is_not_as_declared_is_422() -> None:
    async with served(SHOW) as client:
        status, problem = await _put(client, "/thing/a", If_Match="1")
    assert status == 422
    assert [(part["location"], part["name"]) for part in problem["errors"]] == [("header", "If-Match")]


async def test_a_header_of_several_lines_is_read_as_one() -> None:
    async with served(SHOW) as client:
        headers = [("Content-Type", "application/json"), ("If-Match", '"a"'), ("If-Match", '"b"')]
        async with client.put("/thing/a", data=b'{"name":"hat"}', headers=headers) as response:
            assert (await response.json())["if_match"] == '"a", "b"'


async def test_a_body_that_is_wrong_all_over_gets_a_short_answer() -> None:
    body = json.dumps({f"field{number}": 1 for number in range(50_000)}).encode()
    async with served(SHOW) as client:
        status, problem = await _put(client, "/thing/a", body)
    assert status == 422
    assert len(problem["errors"]) == MOST_FAULTS
    assert problem["detail"].endswith("and 49951 more")


async def test_a_problem_does_not_repeat_what_was_sent() -> None:
    async with served(SHOW) as client:
        _, problem = await _put(client, "/thing/a?limit=s3cret", b'{"name":"hat"}')
    assert "s3cret" not in str(problem)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        pytest.param("/thing/%FF", b'{"name":"hat"}', id="path not UTF-8"),
        pytest.param("/thing/a?q=%FF", b'{"name":"hat"}', id="query not UTF-8"),
        pytest.param("/thing/a", b'{"name":"\xff"}', id="body not UTF-8"),
        pytest.param("/thing/a", b'{"name":"\\ud800"}', id="half a surrogate"),
        pytest.param("/thing/a", b'{"name":', id="half a body"),
        pytest.param("/thing/a", b"", id="no body"),
        pytest.param("/thing/a", b"[" * 100_000, id="nested too deep"),
    ],
)
async def test_what_cannot_be_read_is_400(path: str, body: bytes) -> None:
    async with served(SHOW) as client:
        status, problem = await _put(client, path, body)
    assert status == 400
    assert problem["type"] == "/docs/problems#unreadable"


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/json; charset=latin-1"},
        {"Content-Type": "application/json", "Content-Encoding": "gzip"},
    ],
)
async def test_a_body_of_another_type_is_415(headers: dict[str, str]) -> None:
    body = b'{"name":"hat"}'
    sent = gzip.compress(body) if "Content-Encoding" in headers else body
    async with served(SHOW) as client, client.put("/thing/a", data=sent, headers=headers) as response:
        assert response.status == 415
        assert (await response.json())["type"] == "/docs/problems#wrong-type"


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_that_is_too_large_is_413(chunked: bool) -> None:
    async def chunks() -> Any:
        for _ in range(160):
            yield b"x" * 65_536

    data = chunks() if chunked else BytesIO(b"x" * 10 * 1024 * 1024)
    async with served(SHOW) as client, client.put("/thing/a", data=data, headers=JSON) as response:
        assert response.status == 413
        assert (await response.json())["type"] == "/docs/problems#too-large"


async def test_a_body_that_does_not_arrive_in_time_is_408_and_ends_the_connection() -> None:
    async with served(SHOW, limits=Limits(request_seconds=0.05)) as client:
        reader, writer = await asyncio.open_connection(client.host, client.port)
        writer.write(b"PUT /thing/a HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n")
        writer.write(b'Content-Length: 14\r\n\r\n{"na')
        answer = await asyncio.wait_for(reader.readuntil(b"}"), 20)
        writer.close()
        await writer.wait_closed()
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"\r\nConnection: close\r\n" in answer
    assert b"/docs/problems#slow-request" in answer


async def test_an_operation_without_parameters_refuses_any() -> None:
    async with served(operation()) as client, client.get("/thing?limit=1") as response:
        assert response.status == 422
