"""Who uses the dashboard from a browser: a cookie names a session, and the session holds the token that was shown."""

import secrets
import time
from collections import OrderedDict
from collections.abc import Callable

from aiohttp import hdrs, web

from ops.api.app import Gate
from ops.api.boundary import CALLER
from ops.api.browsers import is_own
from ops.api.operation import Scope
from ops.api.problems import ProblemError, ProblemType

SESSION_SECONDS = 12 * 3600
MOST_SESSIONS = 256
"""The oldest is ended for one more."""

_ID_BYTES = 32


class Sessions:
    """Sessions of one process, in memory; each ends after twelve hours, and with the server.

    The browser never keeps the token: the cookie is a random name, out of reach of scripts and sent from our own pages
    only. Each request is authorized by the session's token anew, so that a token that is revoked, or has expired, ends
    its sessions. `https` says whether the server speaks TLS itself.
    """

    def __init__(self, gate: Gate, *, https: bool, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._gate = gate
        self._https = https
        self._monotonic = monotonic
        self._tokens: OrderedDict[str, tuple[str, float]] = OrderedDict()
        # The prefix: neither another site of the same domain nor plain HTTP can set such a cookie.
        self._cookie = "__Host-lockstep" if https else "lockstep"

    async def authorize(self, request: web.Request, scope: Scope) -> str:
        """The caller's name, by the request's session, else by its header; a request that changes something is ours.

        Raises:
            ProblemError: As `Gate.authorize` says; or a page of another site sent the request.
        """
        _check_origin(request)
        token = self._token_of(request)
        caller = request[CALLER] = await self._gate.authorize(
            request if token is None else _showing(request, token), scope
        )
        return caller

    def has_credentials(self, request: web.Request) -> bool:
        """Whether the request shows anything that could be authorized."""
        return self._gate.unlocked or self._token_of(request) is not None or hdrs.AUTHORIZATION in request.headers

    async def begin(self, request: web.Request, response: web.Response, token: str) -> str:
        """Begin a session with a token that has the scope `operate`; its name. Raises `ProblemError` where it has not.

        The request is one that nothing was read of, as it is cloned.
        """
        _check_origin(request)
        caller = await self._gate.authorize(_showing(request, token), Scope.OPERATE)
        self._end_old()
        name = secrets.token_urlsafe(_ID_BYTES)
        self._tokens[name] = token, self._monotonic() + SESSION_SECONDS
        while len(self._tokens) > MOST_SESSIONS:
            self._tokens.popitem(last=False)
        response.set_cookie(
            self._cookie,
            name,
            max_age=SESSION_SECONDS,
            httponly=True,
            samesite="Strict",
            secure=self._https,
        )
        return caller

    def end(self, request: web.Request, response: web.Response) -> None:
        """End the request's session, if it has one."""
        _check_origin(request)
        self._tokens.pop(request.cookies.get(self._cookie, ""), None)
        response.del_cookie(self._cookie, httponly=True, samesite="Strict", secure=self._https)

    def _token_of(self, request: web.Request) -> str | None:
        token, ends = self._tokens.get(request.cookies.get(self._cookie, ""), ("", 0.0))
        return token if self._monotonic() < ends else None

    def _end_old(self) -> None:
        now = self._monotonic()
        # All last equally long: the first are the oldest.
        while self._tokens and next(iter(self._tokens.values()))[1] <= now:
            self._tokens.popitem(last=False)


def _showing(request: web.Request, token: str) -> web.Request:
    """The request as it would be with the token in its header."""
    headers = request.headers.copy()
    headers[hdrs.AUTHORIZATION] = f"Bearer {token}"
    return request.clone(headers=headers)


def _check_origin(request: web.Request) -> None:
    """Refuse what a page of another site has a browser send: a cookie goes along by itself, a header does not.

    `SameSite=Strict` lets pages through that another port of this host serves; the Origin header tells them apart.
    """
    if request.method in (hdrs.METH_GET, hdrs.METH_HEAD):
        return
    if request.headers.get("Sec-Fetch-Site") == "same-origin":
        return
    if not is_own(request.headers.get(hdrs.ORIGIN, ""), request):
        raise ProblemError(ProblemType.WRONG_ORIGIN, "only the dashboard's own pages may send this")
