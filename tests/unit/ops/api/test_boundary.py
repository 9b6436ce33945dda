"""The outermost layer: ids, trace headers, the access log and the audit trail."""

import logging
from typing import Any

import pytest

from ops.api.operation import Scope
from ops.api.problems import ProblemError, ProblemType
from tests.fakes.api import FakeGate, operation, served

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def _fields(caplog: pytest.LogCaptureFixture, action: str) -> list[dict[str, Any]]:
    return [vars(record) for record in caplog.records if vars(record).get("action") == action]


@pytest.mark.parametrize("given", ["abc-1", "2f0c1c54-5a3c-4b7e-9f0e-7d5a6d1f2a11", "a" * 128])
async def test_a_sane_request_id_is_kept(given: str) -> None:
    async with served(operation()) as client, client.get("/thing", headers={"X-Request-Id": given}) as response:
        assert response.headers["X-Request-Id"] == given


@pytest.mark.parametrize("given", ["", "two words", "a" * 129, 'quote"', "é"])
async def test_any_other_request_id_is_replaced(given: str) -> None:
    async with served(operation()) as client, client.get("/thing", headers={"X-Request-Id": given}) as response:
        assert len(response.headers["X-Request-Id"]) == 32


async def test_trace_headers_are_passed_through_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    headers = {"traceparent": PARENT, "tracestate": "vendor=1"}
    async with served(operation()) as client, client.get("/thing", headers=headers) as response:
        assert response.headers["traceparent"] == PARENT
        assert response.headers["tracestate"] == "vendor=1"
    [line] = _fields(caplog, "request")
    assert line["trace_id"] == "0af7651916cd43dd8448eb211c80319c"


@pytest.mark.parametrize(
    "parent", ["", "00-1-2-01", PARENT.replace("0af7", "0AF7"), f"ff{PARENT[2:]}", f"00-{'0' * 32}-b7ad6b7169203331-01"]
)
async def test_trace_headers_that_make_no_sense_are_dropped(parent: str) -> None:
    headers = {"traceparent": parent, "tracestate": "vendor=1"}
    async with served(operation()) as client, client.get("/thing", headers=headers) as response:
        assert "traceparent" not in response.headers
        assert "tracestate" not in response.headers


async def test_each_request_is_one_line_without_its_query(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with served(operation()) as client, client.get("/thing?q=s3cret"), client.get("/s3cret"):
        pass
    [refused, unknown] = _fields(caplog, "request")
    assert (refused["route"], refused["status"], refused["caller"]) == ("/thing", 422, "local")
    assert (unknown["route"], unknown["status"]) == (None, 404)
    assert "s3cret" not in str(refused) + str(unknown)


async def test_writes_and_operations_are_audited_also_when_they_are_refused(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    write = operation(method="PUT", scope=Scope.WRITE, name="put_thing")
    refusal = ProblemError(ProblemType.WRONG_SCOPE, "no")
    async with served(write, operation()) as client, client.put("/thing"), client.get("/thing"):
        pass
    async with served(write, gate=FakeGate(refusal=refusal)) as client, client.put("/thing"):
        pass
    done, refused = _fields(caplog, "audit")
    assert (done["operation"], done["target"], done["caller"], done["status"]) == ("put_thing", "/thing", "local", 204)
    assert (refused["operation"], refused["caller"], refused["status"]) == ("put_thing", None, 403)
