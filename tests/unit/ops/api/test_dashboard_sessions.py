"""Sessions of the dashboard: how they begin, how long they last, and how many there are."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest
from aiohttp import hdrs, web
from aiohttp.test_utils import make_mocked_request

from ops.api.access import Access
from ops.api.dashboard_sessions import MOST_SESSIONS, SESSION_SECONDS, Sessions
from ops.api.known_tokens import KnownTokens
from ops.api.operation import Scope
from ops.api.problems import ProblemError, ProblemType
from ops.tokens import create_token


@dataclass
class Browser:
    """Signs in, and shows its cookie; `clock` moves when a test says so."""

    tokens: Path
    https: bool = False
    clock: float = 0.0
    token: str = field(init=False)
    sessions: Sessions = field(init=False)

    def __post_init__(self) -> None:
        self.token = create_token(self.tokens, "oncall", frozenset((Scope.OPERATE,)), now=datetime.now(UTC))
        gate = Access(KnownTokens(self.tokens), rate_per_second=10_000)
        self.sessions = Sessions(gate, https=self.https, monotonic=lambda: self.clock)

    async def sign_in(self) -> str:
        """The cookie as the server sets it."""
        response = web.Response()
        assert await self.sessions.begin(request("POST", "/login"), response, self.token) == "oncall"
        [cookie] = response.cookies.values()
        return cookie.OutputString()

    async def may_see(self, cookie: str) -> bool:
        try:
            await self.sessions.authorize(request("GET", "/", cookie), Scope.OPERATE)
        except ProblemError:
            return False
        return True


def request(method: str, path: str, cookie: str = "", **headers: str) -> web.Request:
    given = {hdrs.HOST: "shop:8080", hdrs.ORIGIN: "http://shop:8080", hdrs.COOKIE: cookie.partition(";")[0]}
    return make_mocked_request(method, path, headers=given | {name.replace("_", "-"): v for name, v in headers.items()})


@pytest.fixture
def browser(tmp_path: Path) -> Browser:
    return Browser(tmp_path / "tokens.json")


async def test_session_ends_after_twelve_hours(browser: Browser) -> None:
    cookie = await browser.sign_in()
    browser.clock = SESSION_SECONDS - 1
    assert await browser.may_see(cookie)
    browser.clock = SESSION_SECONDS
    assert not await browser.may_see(cookie)


async def test_oldest_session_makes_room_for_one_too_many(browser: Browser) -> None:
    cookies = [await browser.sign_in() for _ in range(MOST_SESSIONS + 1)]
    assert len(set(cookies)) == len(cookies)
    assert not await browser.may_see(cookies[0])
    assert await browser.may_see(cookies[1])
    assert await browser.may_see(cookies[-1])


async def test_with_tls_the_cookie_goes_encrypted_only_and_is_bound_to_the_host(tmp_path: Path) -> None:
    cookie = await Browser(tmp_path / "tokens.json", https=True).sign_in()
    assert cookie.startswith("__Host-lockstep=")
    assert "Secure" in cookie
    assert "Path=/" in cookie
    assert "Domain" not in cookie


async def test_cookie_that_somebody_made_up_opens_nothing(browser: Browser) -> None:
    await browser.sign_in()
    assert not await browser.may_see("lockstep=")
    assert not await browser.may_see("lockstep=guess")


@pytest.mark.parametrize(
    ("headers", "taken"),
    [
        ({}, True),
        ({"Sec_Fetch_Site": "same-origin", "Origin": "https://behind.proxy"}, True),
        ({"Sec_Fetch_Site": "same-site", "Origin": "http://shop:3000"}, False),
        ({"Sec_Fetch_Site": "cross-site", "Origin": "https://evil.example"}, False),
        ({"Origin": "null"}, False),
        ({"Origin": "http://shop:8080.evil.example"}, False),
        ({"Origin": "http://["}, False),
    ],
    ids=["own page", "own page, host rewritten", "other port", "other site", "hidden", "look-alike", "no origin"],
)
async def test_change_is_taken_from_the_own_pages_only(browser: Browser, headers: dict[str, str], taken: bool) -> None:
    cookie = await browser.sign_in()
    asked = request("POST", "/dashboard/dead-letters/x/retry", cookie, **headers)
    if taken:
        assert await browser.sessions.authorize(asked, Scope.OPERATE) == "oncall"
    else:
        with pytest.raises(ProblemError) as refused:
            await browser.sessions.authorize(asked, Scope.OPERATE)
        assert refused.value.type is ProblemType.WRONG_ORIGIN
