"""The outermost layer of the API: every request gets an id, an answer in our form, and one line in the log."""

import logging
import re
import time
from uuid import uuid4

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from ops.api import audit
from ops.api.operation import Operation
from ops.api.problems import PROBLEM_JSON, ProblemError, ProblemType, problem_of
from schemas.errors import LockstepError

logger = logging.getLogger(__name__)

REQUEST_ID = web.RequestKey("request_id", str)
CALLER = web.RequestKey("caller", str)
OPERATION = web.RequestKey("operation", Operation)
REQUEST_ID_HEADER = "X-Request-Id"

_SANE_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
# https://www.w3.org/TR/trace-context/: what a vendor may add behind the flags is not ours to understand.
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-[!-~]{1,70})?")
_TRACESTATE = re.compile(r"[\x20-\x7e]{1,512}")


def boundary() -> Middleware:
    """The middleware. What a handler raises becomes a problem here, and an error that we do not know is logged here."""

    @web.middleware
    async def answer(request: web.Request, handler: Handler) -> web.StreamResponse:
        started = time.monotonic()
        given = request.headers.get(REQUEST_ID_HEADER, "")
        request[REQUEST_ID] = given if _SANE_ID.fullmatch(given) else uuid4().hex
        try:
            response = await handler(request)
        except ProblemError as problem:
            response = problem_response(request, problem)
        except LockstepError as error:
            response = problem_response(request, _problem_of(request, error))
        except web.HTTPException as error:
            response = problem_response(request, _problem_of_aiohttp(request, error))
        except Exception:  # noqa: BLE001  (the boundary: the caller gets an answer, we get a trace)
            response = problem_response(request, _internal(request))
        response.headers[REQUEST_ID_HEADER] = request[REQUEST_ID]
        response.headers.update(_trace(request))
        _log(request, response.status, time.monotonic() - started)
        _audit(request, response)
        return response

    return answer


def problem_response(request: web.Request, problem: ProblemError) -> web.Response:
    """The problem's document, with the headers that belong to it."""
    document = problem.document(instance=request.rel_url.raw_path, request_id=request[REQUEST_ID])
    response = web.Response(
        status=problem.type.status,
        body=document.model_dump_json(exclude_defaults=True).encode(errors="backslashreplace"),
        content_type=PROBLEM_JSON,
        headers=problem.headers,
    )
    if problem.headers.get(hdrs.CONNECTION) == "close":
        response.force_close()
    return response


def _problem_of(request: web.Request, error: LockstepError) -> ProblemError:
    problem = problem_of(error)
    if problem is None:
        return _internal(request)
    logger.warning(
        "part unavailable",
        extra={"action": "unavailable", "reason": str(error), "hint": error.hint, "request_id": request[REQUEST_ID]},
    )
    return problem


def _problem_of_aiohttp(request: web.Request, error: web.HTTPException) -> ProblemError:
    match error:
        case web.HTTPMethodNotAllowed():
            allowed = ", ".join(sorted(error.allowed_methods))
            return ProblemError(ProblemType.WRONG_METHOD, f"allowed here: {allowed}", headers={hdrs.ALLOW: allowed})
        case web.HTTPNotFound():
            return ProblemError(ProblemType.NO_ROUTE, "nothing is at this path")
        case web.HTTPRequestEntityTooLarge():
            return ProblemError(ProblemType.TOO_LARGE, "the body is larger than this server takes")
        case _:
            return _internal(request)


def _internal(request: web.Request) -> ProblemError:
    logger.exception("request failed", extra={"action": "request_failed", "request_id": request[REQUEST_ID]})
    return ProblemError(ProblemType.INTERNAL, "the server failed; its log says why, under this request's id")


def _trace(request: web.Request) -> dict[str, str]:
    """The caller's trace headers, to join our answer to its trace; state without a sane parent is dropped."""
    parent = request.headers.get("traceparent", "")
    state = request.headers.get("tracestate", "")
    if not _TRACEPARENT.fullmatch(parent):
        return {}
    return {"traceparent": parent} | ({"tracestate": state} if _TRACESTATE.fullmatch(state) else {})


def _log(request: web.Request, status: int, seconds: float) -> None:
    # The route, not the path, and no query: what people look for is no business of the log.
    resource = request.match_info.route.resource
    trace = _trace(request).get("traceparent")
    logger.info(
        "request answered",
        extra={
            "action": "request",
            "method": request.method,
            "route": resource.canonical if resource else None,
            "status": status,
            "ms": round(seconds * 1000, 1),
            "caller": request.get(CALLER),
            "remote": request.remote,
            "request_id": request[REQUEST_ID],
            **({"trace_id": trace.split("-")[1]} if trace else {}),
        },
    )


def _audit(request: web.Request, response: web.StreamResponse) -> None:
    if operation := request.get(OPERATION):
        audit.record(
            operation,
            target=response.headers.get(hdrs.LOCATION, request.rel_url.raw_path),
            status=response.status,
            caller=request.get(CALLER),
            remote=request.remote,
            request_id=request[REQUEST_ID],
        )
