"""Joins operations into one application: each is served as its models say, within limits, to those who may call it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import orjson
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from ops.api import browsers
from ops.api.boundary import CALLER, OPERATION, REQUEST_ID, REQUEST_ID_HEADER, boundary
from ops.api.documentation import add_documentation
from ops.api.openapi import describe
from ops.api.operation import Call, Operation, Reply, Scope
from ops.api.problems import ProblemError, ProblemType
from ops.api.request_reader import RequestReader
from ops.api.time_bound import ended

ANYONE = "anyone"
"""Who calls an operation that is open to all."""


class Gate(Protocol):
    """Who may call."""

    @property
    def unlocked(self) -> bool:
        """Whether no token exists, so that whoever reaches the loopback address may call."""
        ...

    async def authorize(self, request: web.Request, scope: Scope) -> str:
        """The caller's name. Raises `ProblemError`: no token, the wrong scope, too many requests."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What bounds a request: its body, the time of its arrival and of its answer, and how many are answered at once."""

    request_bytes: int = 1024 * 1024
    request_seconds: float = 15.0
    concurrency: int = 64


def create_api(
    operations: Iterable[Operation],
    *,
    gate: Gate,
    limits: Limits,
    host: str,
    origins: frozenset[str] = frozenset(),
    https: bool = False,
) -> web.Application:
    """The application; `host` is what it is bound to, and `origins` are those whose pages may call it."""
    operations = tuple(operations)
    app = web.Application(
        client_max_size=limits.request_bytes,
        middlewares=[
            boundary(),
            browsers.guard(
                origins=origins, accepted=_header_parameters(operations), host=host, unlocked=lambda: gate.unlocked
            ),
        ],
    )
    browsers.dress(app, origins=origins, exposed=_answer_headers(operations), https=https)
    slots = _Slots(limits.concurrency)
    for operation in operations:
        # A variable is whatever stands between two slashes; to aiohttp it would end at a brace.
        path, endpoint = operation.path.replace("}", ":[^/]+}"), _endpoint(operation, gate, limits, slots)
        app.router.add_route(operation.method, path, endpoint)
        if operation.method == hdrs.METH_GET:
            app.router.add_route(hdrs.METH_HEAD, path, endpoint)
    document = describe(operations)
    app.router.add_get("/openapi.json", _document(orjson.dumps(document)))
    add_documentation(app, document)
    return app


class _Slots:
    """How many requests are answered at once."""

    def __init__(self, count: int) -> None:
        self._free = count

    def __enter__(self) -> None:
        if self._free == 0:
            raise ProblemError(
                ProblemType.OVERLOADED, "too many requests are being answered", headers={hdrs.RETRY_AFTER: "1"}
            )
        self._free -= 1

    def __exit__(self, *_: object) -> None:
        self._free += 1


def _endpoint(operation: Operation, gate: Gate, limits: Limits, slots: _Slots) -> Handler:
    reader = RequestReader(operation)

    async def serve(request: web.Request) -> web.Response:
        request[OPERATION] = operation
        caller = ANYONE
        # Before anything of the request is read: a stranger learns and costs nothing.
        if operation.scope is not None:
            caller = request[CALLER] = await gate.authorize(request, operation.scope)
        path, query = reader.path(request), reader.query(request)
        headers = reader.headers(request)
        body = await reader.body(request, within_seconds=limits.request_seconds)
        call = Call(
            path=path,
            query=query,
            body=body,
            headers=headers,
            caller=caller,
            request_id=request[REQUEST_ID],
        )
        if operation.scope is None:  # cheap, and health must answer while all slots are taken
            return _response(await operation.handler(call))
        with slots:
            reply = await _within(limits.request_seconds, operation, call)
        return _response(reply)

    return serve


async def _within(seconds: float, operation: Operation, call: Call[Any, Any, Any]) -> Reply:
    answering = await ended(operation.handler(call), within_seconds=seconds)
    if answering is None:
        raise ProblemError(ProblemType.TIME_LIMIT, f"no answer within {seconds:g} seconds")
    return answering.result()


def _response(reply: Reply) -> web.Response:
    if reply.body is None:
        return web.Response(status=reply.status, headers=reply.headers)
    return web.Response(
        status=reply.status,
        body=reply.body.model_dump_json(by_alias=True).encode(),
        content_type="application/json",
        headers=reply.headers,
    )


def _document(document: bytes) -> Handler:
    async def serve(_: web.Request) -> web.Response:
        return web.Response(body=document, content_type="application/json")

    return serve


def _header_parameters(operations: Iterable[Operation]) -> set[str]:
    models = [operation.header_model for operation in operations if operation.header_model]
    return {field.alias or name for model in models for name, field in model.model_fields.items()}


def _answer_headers(operations: Iterable[Operation]) -> set[str]:
    successes = [success for operation in operations for success in operation.successes]
    return {name for success in successes for name in success.headers} | {hdrs.RETRY_AFTER, REQUEST_ID_HEADER}
