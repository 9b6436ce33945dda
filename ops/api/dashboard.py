"""The dashboard at `/`: one look tells whether the index is in step, how far behind it is, and what is stuck."""

import asyncio
from functools import partial
from pathlib import Path
from urllib.parse import parse_qs, quote

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from ops.api.app import Gate
from ops.api.boundary import CALLER, OPERATION, REQUEST_ID
from ops.api.dashboard_events import send_events
from ops.api.dashboard_page import DashboardPage
from ops.api.dashboard_sampler import Sampler, TooManyListenersError
from ops.api.dashboard_search import Found, Service, search_halves
from ops.api.dashboard_sessions import Sessions
from ops.api.operation import Call, Operation, Scope
from ops.api.problems import ProblemError, ProblemType, unavailable
from ops.api.request_reader import RequestReader

PAGE = "/"
LOGIN = "/login"
LOGOUT = "/logout"
FILES = "/dashboard"
EVENTS = f"{FILES}/events"
SEARCH = f"{FILES}/search"
RETRY = f"{FILES}/dead-letters/{{place}}/retry"

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
FIRST_LOOK_SECONDS = 6.0
"""How long the page waits for the server's first look at the pipeline; later ones are at hand."""
FORM_SECONDS = 5.0

_STATIC = Path(__file__).parent / "static"
_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_HEADERS = {
    "Content-Security-Policy": POLICY,
    # Not `no-referrer`, as elsewhere: with that a browser does not say from which page a form comes.
    "Referrer-Policy": "same-origin",
}


def add_dashboard(
    app: web.Application, *, gate: Gate, sampler: Sampler, search: Service, retry: Operation, https: bool
) -> None:
    """Serve the page, its events and its files; `retry` is the operation that its button asks for."""
    dashboard = _Dashboard(gate, Sessions(gate, https=https), sampler, search, retry)
    app.router.add_get(PAGE, dashboard.show)
    app.router.add_get(LOGIN, dashboard.ask_token)
    app.router.add_post(LOGIN, dashboard.log_in)
    app.router.add_post(LOGOUT, dashboard.log_out)
    app.router.add_get(EVENTS, dashboard.send_events, allow_head=False)
    app.router.add_get(SEARCH, dashboard.show_search)
    app.router.add_post(RETRY, dashboard.retry)
    for path in (*_STATIC.glob("dashboard*"), *(_STATIC / "vendor").iterdir()):
        if path.suffix in _TYPES:
            app.router.add_get(f"{FILES}/{path.name}", _file(path.read_text(), _TYPES[path.suffix]))

    async def close(_: web.Application) -> None:
        sampler.close()  # each listener is a request in flight, for which the server would wait

    app.on_shutdown.append(close)


class _Dashboard:
    """Answers its requests."""

    def __init__(self, gate: Gate, sessions: Sessions, sampler: Sampler, search: Service, retry: Operation) -> None:
        self._gate = gate
        self._sessions = sessions
        self._sampler = sampler
        self._search = search
        self._retry = retry
        self._retry_reader = RequestReader(retry)
        self._page = DashboardPage()

    async def show(self, request: web.Request) -> web.Response:
        """The page; whoever may not see it is asked for a token."""
        if not self._sessions.has_credentials(request):
            return _see(LOGIN)
        try:
            await self._sessions.authorize(request, Scope.OPERATE)
        except ProblemError as problem:
            return self._login(problem)
        await self._sampler.after(0, within_seconds=FIRST_LOOK_SECONDS)
        text = request.query.get("q")
        return _html(
            self._page.whole(
                self._sampler.latest,
                self._sampler.history,
                await self._found(request, text) if text else None,
                retried=request.query.get("retried"),
                signed_in=not self._gate.unlocked,
            )
        )

    async def show_search(self, request: web.Request) -> web.Response:
        """What a search finds, as the part of the page that shows it."""
        return _html(self._page.found(await self._found(request, request.query.get("q", ""))))

    async def send_events(self, request: web.Request) -> web.StreamResponse:
        """The events, as `ops.api.dashboard_events` says."""
        allowed = partial(self._sessions.authorize, request, Scope.OPERATE)
        await allowed()
        try:
            with self._sampler.listening():
                return await send_events(request, self._sampler, self._page, allowed)
        except TooManyListenersError as error:
            raise unavailable(ProblemType.OVERLOADED, "too many pages listen already") from error

    async def retry(self, request: web.Request) -> web.Response:
        """Begin a retry as the operation does, and go back to the page."""
        request[OPERATION] = self._retry
        caller = await self._sessions.authorize(request, Scope.OPERATE)
        call = Call(
            path=self._retry_reader.path(request),
            query=None,
            body=None,
            headers=request.headers,
            caller=caller,
            request_id=request[REQUEST_ID],
        )
        await self._retry.handler(call)
        self._sampler.hurry()
        return _see(f"{PAGE}?retried={quote(request.match_info['place'], safe='')}#dead-letters")

    async def ask_token(self, _: web.Request) -> web.Response:
        """The page that asks for a token, where tokens exist."""
        return _see(PAGE) if self._gate.unlocked else self._login()

    async def log_in(self, request: web.Request) -> web.Response:
        """Begin a session, and go to the page."""
        unread = request.clone()
        try:
            async with asyncio.timeout(FORM_SECONDS):
                form = parse_qs((await request.read()).decode(errors="replace"))
            token = form.get("token", [""])[0].strip()
            response = _see(PAGE)
            request[CALLER] = await self._sessions.begin(unread, response, token)
        except TimeoutError as error:
            raise ProblemError(ProblemType.SLOW_REQUEST, "the form did not arrive in time") from error
        except ProblemError as problem:
            return self._login(problem)
        return response

    async def log_out(self, request: web.Request) -> web.Response:
        """End the session."""
        response = _see(LOGIN)
        self._sessions.end(request, response)
        return response

    async def _found(self, request: web.Request, text: str) -> Found:
        try:
            await self._sessions.authorize(request, Scope.SEARCH)
        except ProblemError as problem:
            if problem.type is not ProblemType.WRONG_SCOPE:
                raise
            return Found(text=text, trouble=problem.detail)
        return await search_halves(self._search, text)

    def _login(self, problem: ProblemError | None = None) -> web.Response:
        response = _html(self._page.login(problem.detail if problem else None))
        if problem:
            response.set_status(problem.type.status)
            response.headers.update(problem.headers)
            # A browser would ask for a password itself.
            response.headers.popall(hdrs.WWW_AUTHENTICATE, None)
        return response


def _html(text: str) -> web.Response:
    return web.Response(text=text, content_type="text/html", headers=_HEADERS)


def _see(where: str) -> web.Response:
    return web.Response(status=303, headers={hdrs.LOCATION: where})


def _file(text: str, content_type: str) -> Handler:
    async def serve(_: web.Request) -> web.Response:
        return web.Response(text=text, content_type=content_type, headers={hdrs.CACHE_CONTROL: "no-cache"})

    return serve
