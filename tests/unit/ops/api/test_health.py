"""Health names what is down, soon, and tells a stranger no address."""

import asyncio
import time

from ops.api.health_routes import operations
from schemas.errors import ErrorKind, SourceError, VectorStoreError
from tests.fakes.api import FakeGate, served


async def _fine() -> None:
    pass


async def _away() -> None:
    raise VectorStoreError("cannot reach http://s3cret:6333")


async def _wrong() -> None:
    raise SourceError("no table at s3cret", kind=ErrorKind.OUTAGE)


async def _hanging() -> None:
    await asyncio.Event().wait()


async def test_it_is_live_whatever_is_down() -> None:
    async with served(*operations({"qdrant": _away})) as client, client.get("/health/live") as response:
        assert response.status == 200
        assert await response.json() == {"live": True}


async def test_it_is_ready_when_every_part_answers() -> None:
    async with served(*operations({"a": _fine, "b": _fine})) as client, client.get("/health/ready") as response:
        assert response.status == 200
        assert await response.json() == {"ready": True, "parts": ["a", "b"]}


async def test_ready_names_every_part_that_is_down_without_waiting_for_one_after_the_other() -> None:
    checks = {"fine": _fine, "away": _away, "wrong": _wrong, "hangs": _hanging, "hangs too": _hanging}
    started = time.monotonic()
    async with (
        served(*operations(checks, within_seconds=0.5), gate=FakeGate(unlocked=False)) as client,
        client.get("/health/ready") as response,
    ):
        assert response.status == 503
        assert int(response.headers["Retry-After"]) > 0
        problem = await response.json()
    assert time.monotonic() - started < 0.95
    assert problem["type"] == "/docs/problems#not-ready"
    assert problem["detail"] == "down: away, wrong, hangs, hangs too"
    assert [part["name"] for part in problem["errors"]] == ["away", "wrong", "hangs", "hangs too"]
    assert "s3cret" not in str(problem)
