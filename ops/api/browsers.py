"""What browsers must know, and must not do: security headers, CORS, and no page of another site on a loopback API."""

import ipaddress
from collections.abc import Callable, Iterable
from urllib.parse import urlsplit

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from ops.api.problems import ProblemError, ProblemType

PREFLIGHT_SECONDS = 600
CALLERS_HEADERS = ("Authorization", "Content-Type", "X-Request-Id", "traceparent", "tracestate")
JSON_POLICY = "default-src 'none'; frame-ancestors 'none'"
PAGE_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

_HEADERS = {
    hdrs.SERVER: "lockstep",  # not the versions of what it is made of
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_DEFAULTS = {
    "Content-Security-Policy": JSON_POLICY,
    "Referrer-Policy": "no-referrer",
    hdrs.CACHE_CONTROL: "no-store",
}
_YEAR_SECONDS = 365 * 24 * 3600


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a host: `localhost`, or a loopback address."""
    try:
        return host.lower() == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def dress(app: web.Application, *, origins: frozenset[str], exposed: Iterable[str], https: bool) -> None:
    """Give every answer its security headers, and to pages of these origins the right to read it, these headers too."""
    exposed_headers = ", ".join(sorted(exposed))

    async def prepare(request: web.Request, response: web.StreamResponse) -> None:
        response.headers.update(_HEADERS)
        for name, value in _DEFAULTS.items():
            response.headers.setdefault(name, value)
        if https:
            response.headers["Strict-Transport-Security"] = f"max-age={_YEAR_SECONDS}"
        if origins:
            response.headers.add(hdrs.VARY, hdrs.ORIGIN)
        if (origin := request.headers.get(hdrs.ORIGIN)) in origins:
            response.headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = origin
            response.headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = exposed_headers

    app.on_response_prepare.append(prepare)


def guard(*, origins: frozenset[str], accepted: Iterable[str], host: str, unlocked: Callable[[], bool]) -> Middleware:
    """Answer the preflights of these origins; while the API is `unlocked`, refuse what a page of another site sends.

    A page may have its own name resolve to 127.0.0.1 and so reach us as its own site (DNS rebinding: the Host header
    shows it), or send a form to us (the Origin header shows it). A token protects from both, as no browser adds it.
    """
    accepted_headers = ", ".join(sorted({*CALLERS_HEADERS, *accepted}))

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        origin = request.headers.get(hdrs.ORIGIN)
        if unlocked():
            _check_host(request, host)
            if origin is not None and origin not in origins and not is_own(origin, request):
                raise ProblemError(ProblemType.WRONG_ORIGIN, "pages of this origin may not call this server")
        wanted = request.headers.get(hdrs.ACCESS_CONTROL_REQUEST_METHOD)
        if request.method == hdrs.METH_OPTIONS and origin in origins and wanted:
            return web.Response(
                status=204,
                headers={
                    hdrs.ACCESS_CONTROL_ALLOW_METHODS: wanted,
                    hdrs.ACCESS_CONTROL_ALLOW_HEADERS: accepted_headers,
                    hdrs.ACCESS_CONTROL_MAX_AGE: str(PREFLIGHT_SECONDS),
                },
            )
        return await handler(request)

    return check


def _check_host(request: web.Request, bound: str) -> None:
    try:
        name = urlsplit(f"//{request.headers.get(hdrs.HOST, '')}").hostname or ""
    except ValueError:
        name = ""
    if name != bound.lower() and not is_loopback(name):
        raise ProblemError(ProblemType.WRONG_HOST, "this server answers only to the name it is bound to")


def is_own(origin: str, request: web.Request) -> bool:
    """Whether a page came from this server, by the name that it is asked by now."""
    try:
        return urlsplit(origin).netloc == request.headers.get(hdrs.HOST)
    except ValueError:  # no origin at all, such as `http://[`
        return False
