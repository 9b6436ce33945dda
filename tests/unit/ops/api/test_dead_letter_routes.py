"""Dead letters over HTTP: the list, and a retry."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from ops.api.dead_letter_routes import operations
from ops.dead_letter_jobs import MOST_AT_ONCE
from schemas.errors import BrokerError
from tests.fakes.api import served
from tests.fakes.dashboard import FakePipeline
from tests.unit.ops.api.test_dashboard import PLACE, letter
from tests.unit.ops.status import samples


@pytest.fixture
def pipeline() -> FakePipeline:
    return FakePipeline(status=samples.status(), letters=[letter(), letter(8, key=b"no json")])


@pytest.fixture
async def client(pipeline: FakePipeline) -> AsyncIterator[TestClient[Any, Any]]:
    async with served(*operations(pipeline.read, pipeline.retries)) as client:
        yield client
    await pipeline.retries.close()


async def _retry(client: TestClient[Any, Any], place: str) -> tuple[int, dict[str, Any]]:
    response = await client.post(f"/dead-letters/{place}/retry")
    return response.status, await response.json()


async def test_list_has_each_reason_and_says_what_cannot_be_retried(client: TestClient[Any, Any]) -> None:
    answer = await (await client.get("/dead-letters")).json()
    assert answer["count"] == 2
    assert [(each["article_id"], each["error_class"]) for each in answer["letters"]] == [
        ("A", "DecodeError"),
        ("no json", "DecodeError"),
    ]
    assert answer["letters"][0]["refusal"] is None
    assert "no row to read again" in answer["letters"][1]["refusal"]


async def test_retry_begins_at_once_and_the_list_tells_its_end(
    client: TestClient[Any, Any], pipeline: FakePipeline
) -> None:
    status, begun = await _retry(client, PLACE)
    assert (status, begun["state"], begun["place"]) == (202, "running", PLACE)
    pipeline.go.set()
    await pipeline.retries.ended()
    [retry] = (await (await client.get("/dead-letters")).json())["retries"]
    assert (retry["state"], retry["outcome"], retry["resolved"]) == ("done", "indexed", True)


async def test_retry_that_fails_says_why(client: TestClient[Any, Any], pipeline: FakePipeline) -> None:
    pipeline.error = BrokerError("the worker makes no progress")
    pipeline.go.set()
    await _retry(client, PLACE)
    await pipeline.retries.ended()
    [retry] = (await (await client.get("/dead-letters")).json())["retries"]
    assert (retry["state"], retry["error"]) == ("failed", "the worker makes no progress")


async def test_letter_is_retried_once_at_a_time(client: TestClient[Any, Any], pipeline: FakePipeline) -> None:
    await _retry(client, PLACE)
    status, problem = await _retry(client, PLACE)
    assert (status, problem["type"]) == (409, "/docs/problems#cannot-retry")
    pipeline.go.set()
    await pipeline.retries.ended()
    assert (await _retry(client, PLACE))[0] == 202, "it is still open, so it may be retried again"


async def test_few_are_retried_at_once(client: TestClient[Any, Any], pipeline: FakePipeline) -> None:
    pipeline.letters = [letter(offset) for offset in range(MOST_AT_ONCE + 1)]
    statuses = [(await _retry(client, str(each.place)))[0] for each in pipeline.letters]
    assert statuses == MOST_AT_ONCE * [202] + [409]


async def test_letter_without_a_row_is_refused(client: TestClient[Any, Any]) -> None:
    status, problem = await _retry(client, PLACE.replace("@7", "@8"))
    assert (status, problem["type"]) == (409, "/docs/problems#cannot-retry")


async def test_place_that_is_no_open_letter_is_not_found(client: TestClient[Any, Any]) -> None:
    status, problem = await _retry(client, PLACE.replace("@7", "@9"))
    assert (status, problem["type"]) == (404, "/docs/problems#no-dead-letter")


@pytest.mark.parametrize("place", ["x", "x[1]", "[0]@1", "x[0]@-1", "x[0]@1" + 30 * "0", "x[٣]@1"])
async def test_what_is_no_place_is_refused(client: TestClient[Any, Any], place: str) -> None:
    assert (await _retry(client, place))[0] == 422


async def test_retry_that_runs_at_the_end_is_given_up(client: TestClient[Any, Any], pipeline: FakePipeline) -> None:
    await _retry(client, PLACE)
    await pipeline.retries.close()
    [retry] = pipeline.retries.remembered()
    assert retry.state == "cancelled"
