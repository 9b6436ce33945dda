"""The API over operations of a test's own, asked through a real socket."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from ops.api.app import Limits, create_api
from ops.api.operation import LOCAL_CALLER, Call, Operation, Reply, Scope, Success
from ops.api.problems import ProblemError


class FakeGate:
    """Lets everybody in, or answers everybody with the same problem."""

    def __init__(self, *, unlocked: bool = True, refusal: ProblemError | None = None) -> None:
        self.unlocked = unlocked
        self.asked = asyncio.Event()
        self._refusal = refusal

    async def authorize(self, request: web.Request, scope: Scope) -> str:
        self.asked.set()
        if self._refusal:
            raise self._refusal
        return LOCAL_CALLER if self.unlocked else f"holder of {scope}"


async def nothing(call: Call[Any, Any, Any]) -> Reply:
    return Reply(status=204)


def operation(**changes: Any) -> Operation:
    """`GET /thing`, which answers 204; `changes` are fields of the operation."""
    values: dict[str, Any] = {
        "method": "GET",
        "path": "/thing",
        "name": "thing",
        "summary": "Ask for the thing",
        "tag": "things",
        "scope": Scope.SEARCH,
        "handler": nothing,
        "successes": (Success(status=204, description="Nothing to say."),),
    }
    return Operation(**(values | changes))


@asynccontextmanager
async def served(
    *operations: Operation, gate: FakeGate | None = None, limits: Limits | None = None, **options: Any
) -> AsyncIterator[TestClient[Any, Any]]:
    """A client of an API of these operations."""
    app = create_api(
        operations, gate=gate or FakeGate(), limits=limits or Limits(), **({"host": "127.0.0.1"} | options)
    )
    async with TestClient(TestServer(app)) as client:
        yield client
