"""Health names what is down, soon, and tells a stranger no address."""

import asyncio
import time

from ops.api.app import ANYONE
from ops.api.health_routes import operations
from ops.api.operation import Call, Reply
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


async def _slow_to_stop() -> None:
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        await asyncio.Event().wait()


async def test_ready_does_not_wait_for_a_part_that_is_slow_to_stop() -> None:
    checks = {"fine": _fine, "hangs": _slow_to_stop}
    async with (
        served(*operations(checks, within_seconds=0.05)) as client,
        asyncio.timeout(5),
        client.get("/health/ready") as response,
    ):
        assert (await response.json())["detail"] == "down: hangs"


async def test_it_is_live_whatever_is_down() -> None:
    async with served(*operations({"qdrant": _away})) as client, client.get("/health/live") as response:
        assert response.status == 200
        assert await response.json() == {"live": True}


async def test_it_is_ready_when_every_part_answers() -> None:
    async with served(*operations({"a": _fine, "b": _fine})) as client, client.get("/health/ready") as response:
        assert response.status == 200
        assert await response.json() == {"ready": True, "parts": ["a", "b"]}


async def test_many_who_ask_at_once_cost_one_look_at_each_part() -> None:
    looks, looked, answer = 0, asyncio.Event(), asyncio.Event()

    async def look() -> None:
        nonlocal looks
        looks += 1
        looked.set()
        await answer.wait()

    _, ready = operations({"part": look})
    call: Call[None, None, None] = Call(path=None, query=None, body=None, headers={}, caller=ANYONE, request_id="1")
    asking = [asyncio.create_task(ready.handler(call)) for _ in range(20)]
    await looked.wait()
    answer.set()
    asking[0].cancel()
    _, *answers = await asyncio.gather(*asking, return_exceptions=True)
    assert [reply.status for reply in answers if isinstance(reply, Reply)] == [200] * 19
    assert looks == 1
    await ready.handler(call)
    assert looks == 2


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
