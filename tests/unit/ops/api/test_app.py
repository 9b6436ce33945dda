"""What the application does around an operation: who may, within which limits, and how it answers."""

import asyncio
import logging
from io import BytesIO
from typing import Any

import pytest
from pydantic import BaseModel

from ops.api.app import Limits
from ops.api.operation import Call, Reply, Scope, Success
from ops.api.problems import ProblemError, ProblemType, unavailable
from schemas.errors import BrokerError, ErrorKind, LockstepError, SourceError, VectorStoreError
from tests.fakes.api import FakeGate, operation, served


class Thing(BaseModel):
    name: str


async def test_a_reply_has_its_status_its_headers_and_its_body() -> None:
    async def create(call: Call[Any, Any, Any]) -> Reply:
        return Reply(status=201, body=Thing(name="hat"), headers={"Location": "/thing/1"})

    async with served(operation(method="POST", handler=create)) as client, client.post("/thing") as response:
        assert response.status == 201
        assert response.headers["Location"] == "/thing/1"
        assert response.content_type == "application/json"
        assert await response.json() == {"name": "hat"}


async def test_head_is_answered_as_get_without_a_body() -> None:
    async def get(call: Call[Any, Any, Any]) -> Reply:
        return Reply(body=Thing(name="hat"))

    async with served(operation(handler=get)) as client, client.head("/thing") as response:
        assert response.status == 200
        assert response.headers["Content-Length"] == str(len(b'{"name":"hat"}'))
        assert await response.read() == b""


async def test_an_unknown_path_is_a_problem() -> None:
    async with served(operation()) as client, client.get("/other") as response:
        assert response.status == 404
        assert response.content_type == "application/problem+json"
        problem = await response.json()
    assert problem == {
        "type": "/docs/problems#no-route",
        "title": ProblemType.NO_ROUTE.title,
        "status": 404,
        "detail": "nothing is at this path",
        "instance": "/other",
        "request_id": response.headers["X-Request-Id"],
    }


async def test_a_wrong_method_is_told_which_are_allowed() -> None:
    async with served(operation(), operation(method="PUT")) as client, client.delete("/thing") as response:
        assert response.status == 405
        assert response.headers["Allow"] == "GET, HEAD, PUT"
        assert (await response.json())["type"] == ProblemType.WRONG_METHOD.uri


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        pytest.param(SourceError("x"), ProblemType.CATALOGUE_UNAVAILABLE, id="postgres away"),
        pytest.param(
            SourceError("x", kind=ErrorKind.OUTAGE), ProblemType.CATALOGUE_UNAVAILABLE, id="postgres set up wrong"
        ),
        pytest.param(VectorStoreError("x"), ProblemType.SEARCH_UNAVAILABLE, id="qdrant away"),
        pytest.param(BrokerError("x"), ProblemType.BROKER_UNAVAILABLE, id="broker away"),
    ],
)
async def test_a_part_that_is_away_is_503_with_a_time_to_wait(error: LockstepError, expected: ProblemType) -> None:
    async def fail(call: Call[Any, Any, Any]) -> Reply:
        raise error

    async with served(operation(handler=fail)) as client, client.get("/thing") as response:
        assert response.status == 503
        assert int(response.headers["Retry-After"]) > 0
        assert (await response.json())["type"] == expected.uri


@pytest.mark.parametrize("error", [SourceError("s3cret", kind=ErrorKind.PERMANENT), ValueError("s3cret")])
async def test_an_unknown_error_is_logged_and_not_shown(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    async def fail(call: Call[Any, Any, Any]) -> Reply:
        raise error

    async with served(operation(handler=fail)) as client, client.get("/thing") as response:
        assert response.status == 500
        text = await response.text()
    assert "s3cret" not in text
    [record] = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert record.exc_info is not None
    assert record.exc_info[1] is error
    assert vars(record)["request_id"] == response.headers["X-Request-Id"]


async def test_an_answer_that_takes_too_long_is_504() -> None:
    cancelled = asyncio.Event()

    async def hang(call: Call[Any, Any, Any]) -> Reply:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        raise AssertionError

    async with (
        served(operation(handler=hang), limits=Limits(request_seconds=0.05)) as client,
        client.get("/thing") as response,
    ):
        assert response.status == 504
        assert (await response.json())["type"] == ProblemType.TIME_LIMIT.uri
    assert cancelled.is_set()


async def test_work_that_is_slow_to_stop_does_not_delay_the_answer() -> None:
    stop = asyncio.Event()

    async def hang(call: Call[Any, Any, Any]) -> Reply:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await stop.wait()
            raise SourceError("too late for anybody to hear") from None
        raise AssertionError

    async with served(operation(handler=hang), limits=Limits(request_seconds=0.05)) as client:
        async with asyncio.timeout(5), client.get("/thing") as response:
            assert response.status == 504
        stop.set()


async def test_a_time_out_of_the_operation_itself_is_not_the_limit() -> None:
    async def fail(call: Call[Any, Any, Any]) -> Reply:
        raise TimeoutError

    async with served(operation(handler=fail)) as client, client.get("/thing") as response:
        assert response.status == 500


async def test_one_request_too_many_at_once_is_503_while_what_is_open_to_all_answers() -> None:
    release, started = asyncio.Event(), asyncio.Event()

    async def wait(call: Call[Any, Any, Any]) -> Reply:
        started.set()
        await release.wait()
        return Reply(status=204)

    async with served(
        operation(handler=wait),
        operation(path="/health", name="health", scope=None),
        limits=Limits(concurrency=1),
    ) as client:
        first = asyncio.create_task(client.get("/thing"))
        await started.wait()
        async with client.get("/thing") as refused, client.get("/health") as health:
            assert refused.status == 503
            assert refused.headers["Retry-After"] == "1"
            assert (await refused.json())["type"] == ProblemType.OVERLOADED.uri
            assert health.status == 204
        release.set()
        assert (await first).status == 204
        assert (await client.get("/thing")).status == 204


async def test_whoever_may_not_call_is_refused_before_the_request_is_read() -> None:
    refusal = ProblemError(ProblemType.NO_TOKEN, "no", headers={"WWW-Authenticate": "Bearer"})
    reading = operation(method="POST", body_model=_Empty)
    async with (
        served(reading, gate=FakeGate(refusal=refusal)) as client,
        client.post("/thing?unknown=1", data=BytesIO(b"x" * 5_000_000)) as response,
    ):
        assert response.status == 401
        assert response.headers["WWW-Authenticate"] == "Bearer"


class _Empty(BaseModel, extra="forbid"):
    pass


async def test_an_operation_knows_its_caller_and_the_request() -> None:
    calls: list[Call[Any, Any, Any]] = []

    async def note(call: Call[Any, Any, Any]) -> Reply:
        calls.append(call)
        return Reply(status=204)

    async with (
        served(
            operation(handler=note, scope=Scope.WRITE),
            operation(handler=note, scope=None, path="/open", name="open"),
            gate=FakeGate(unlocked=False),
        ) as client,
        client.get("/thing", headers={"X-Request-Id": "abc-1"}),
        client.get("/open"),
    ):
        [first, second] = calls
    assert (first.caller, first.request_id) == ("holder of write", "abc-1")
    assert second.caller == "anyone"


async def test_a_problem_keeps_its_headers() -> None:
    async def fail(call: Call[Any, Any, Any]) -> Reply:
        raise unavailable(ProblemType.OVERLOADED, "wait")

    async with served(operation(handler=fail)) as client, client.get("/thing") as response:
        assert response.headers["Retry-After"] == "5"


@pytest.mark.parametrize("place", ["query_model", "body_model"])
def test_an_operation_whose_model_lets_unknown_fields_pass_is_refused_at_start(place: str) -> None:
    with pytest.raises(TypeError, match="Thing of operation thing must forbid extra fields"):
        operation(**{place: Thing}, successes=(Success(description=""),))
