"""The dashboard over HTTP: who sees it, what it sends, and what it refuses."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest
from aiohttp import ClientError, ClientResponse

from ops.api import dashboard_events, dashboard_sampler
from ops.api.dashboard import POLICY
from ops.api.known_tokens import KnownTokens
from ops.api.operation import Scope
from ops.dead_letters import FoundLetter
from ops.tokens import create_token, revoke_token
from schemas.dead_letter import DeadLetter
from schemas.errors import VectorStoreError
from schemas.ranking import Ranks
from schemas.record import Place, Record
from schemas.search import Hit
from streams.topics import DEAD_LETTERS, PRODUCT_CHANGES
from tests.fakes.dashboard import Dashboard, FakePipeline, dashboard
from tests.unit.ops.status import samples

HOSTILE = "<script>alert('1')</script>"
PLACE = f"{PRODUCT_CHANGES}[0]@7"
RETRY = f"/dashboard/dead-letters/{PLACE}/retry"


def letter(offset: int = 7, key: bytes = b'{"article_id":"A"}', error: str = HOSTILE) -> FoundLetter:
    record = Record(place=Place(topic=PRODUCT_CHANGES, partition=0, offset=offset), key=key, value=b"{")
    return FoundLetter(
        letter=DeadLetter(record=record, error_class="DecodeError", error=error, attempts=1, set_aside_at=samples.NOW),
        stands_at=Place(topic=DEAD_LETTERS, partition=0, offset=offset),
        value_bytes=1,
    )


def hit(name: str) -> Hit:
    return Hit.of_payload({"article_id": "A", "name": name}, 1.0, Ranks(semantic=3, keyword=12))


@pytest.fixture
def pipeline() -> FakePipeline:
    return FakePipeline(status=samples.status(), letters=[letter()], hits=[hit("Strap top")])


@pytest.fixture
def tokens_file(tmp_path: Path) -> Path:
    return tmp_path / "tokens.json"


@pytest.fixture
async def page(pipeline: FakePipeline, tokens_file: Path) -> AsyncIterator[Dashboard]:
    """Without tokens."""
    async with dashboard(pipeline, KnownTokens(tokens_file)) as page:
        yield page


@pytest.fixture
def token(tokens_file: Path) -> str:
    return create_token(tokens_file, "oncall", frozenset((Scope.OPERATE,)), now=datetime.now(UTC))


@pytest.fixture
async def locked(token: str, pipeline: FakePipeline, tokens_file: Path) -> AsyncIterator[Dashboard]:
    """With a token of the scope operate."""
    async with dashboard(pipeline, KnownTokens(tokens_file)) as page:
        yield page


async def sign_in(locked: Dashboard, token: str) -> ClientResponse:
    return await locked.client.post("/login", data={"token": token}, headers=locked.origin, allow_redirects=False)


async def event(response: ClientResponse) -> tuple[str, object]:
    """The next event of a stream."""
    name = ""
    async with asyncio.timeout(5):
        while True:
            line = (await response.content.readline()).decode().rstrip("\n")
            if line.startswith("event: "):
                name = line.removeprefix("event: ")
            elif line.startswith("data: "):
                return name, orjson.loads(line.removeprefix("data: "))


async def test_page_shows_the_flow_without_a_script_and_allows_no_inline_one(page: Dashboard) -> None:
    response = await page.client.get("/")
    text = await response.text()
    assert response.status == 200
    assert response.headers["Content-Security-Policy"] == POLICY
    assert "unsafe" not in POLICY
    for part in ("Postgres", "Debezium", "Kafka", "Workers", "Qdrant", "Search"):
        assert f'id="part-{part.lower()}"' in text
    assert "style=" not in text
    assert "<script>" not in text


async def test_what_a_record_says_is_text_in_the_page(page: Dashboard) -> None:
    text = await (await page.client.get("/")).text()
    assert "&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;" in text
    assert HOSTILE not in text


async def test_search_is_shown_by_halves_with_ranks_and_works_without_a_script(
    page: Dashboard, pipeline: FakePipeline
) -> None:
    pipeline.hits = [hit(HOSTILE)]
    whole = await (await page.client.get("/", params={"q": HOSTILE})).text()
    part = await (await page.client.get("/dashboard/search", params={"q": HOSTILE})).text()
    for text in (whole, part):
        assert HOSTILE not in text
        assert all(half in text for half in ("By meaning", "Both, fused", "By words"))
        assert "meaning 3" in text
        assert "words 12" in text


@pytest.mark.parametrize("text", ["", " ", "x" * 1001, "a\0b"], ids=["empty", "blank", "too long", "NUL"])
async def test_search_for_what_cannot_be_searched_says_so(page: Dashboard, text: str) -> None:
    response = await page.client.get("/dashboard/search", params={"q": text})
    assert response.status == 200
    assert "write 1 to 1000 characters" in await response.text()


async def test_search_says_that_qdrant_is_away(page: Dashboard, pipeline: FakePipeline) -> None:
    pipeline.error = VectorStoreError("cannot connect to 10.0.0.7")
    text = await (await page.client.get("/dashboard/search", params={"q": "hat"})).text()
    assert "the search index does not answer" in text


async def test_events_begin_with_the_history_and_follow_each_look(page: Dashboard, pipeline: FakePipeline) -> None:
    async with page.client.get("/dashboard/events") as response:
        assert response.content_type == "text/event-stream"
        name, columns = await event(response)
        assert name == "history"
        assert isinstance(columns, list)
        assert [column[-1] for column in columns[1:]] == [0, 1.5, 1200]
        assert (await event(response))[0] == "live"
        pipeline.status = samples.status(rows=4711)
        await page.sampler.look()
        name, live = await event(response)
        assert name == "live"
        assert "4,711" in str(live)


async def test_line_break_in_an_error_does_not_break_an_event(page: Dashboard, pipeline: FakePipeline) -> None:
    pipeline.letters = [letter(error="one\r\ndata: two\n\nevent: three\r")]
    await page.sampler.look()
    async with page.client.get("/dashboard/events") as response:
        await event(response)
        name, live = await event(response)
        assert name == "live"
        assert "data: two" in str(live)


async def test_no_more_listen_than_may(page: Dashboard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dashboard_sampler, "MOST_LISTENERS", 1)
    async with page.client.get("/dashboard/events") as first:
        await event(first)
        second = await page.client.get("/dashboard/events")
        assert second.status == 503
        assert second.headers["Retry-After"]


async def test_stream_ends_when_the_server_stops(page: Dashboard) -> None:
    async with page.client.get("/dashboard/events") as response:
        await event(response)
        await event(response)
        async with asyncio.timeout(2):
            await page.client.server.close()
            assert (await response.content.read()).strip() == b""


async def test_listener_that_takes_nothing_is_let_go_of(
    page: Dashboard, pipeline: FakePipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dashboard_events, "STUCK_SECONDS", 0.1)
    pipeline.letters = [letter(error="x" * 1_000_000)]
    async with page.client.get("/dashboard/events", read_bufsize=1024) as response, asyncio.timeout(10):
        while page.sampler.listeners == 0:
            await page.sampler.look()
        while page.sampler.listeners:
            await page.sampler.look()
            await asyncio.sleep(0)
        with pytest.raises(ClientError):
            await response.read()


async def test_button_begins_a_retry_and_the_page_tells_what_became_of_it(
    page: Dashboard, pipeline: FakePipeline, caplog: pytest.LogCaptureFixture
) -> None:
    response = await page.client.post(RETRY, headers=page.origin, allow_redirects=False)
    assert response.status == 303
    assert response.headers["Location"].endswith("#dead-letters")
    await page.sampler.look()
    assert f"<code>{PLACE}</code> running" in await (await page.client.get("/")).text()
    pipeline.go.set()
    await pipeline.retries.ended()
    await page.sampler.look()
    assert f"<code>{PLACE}</code> done: indexed" in await (await page.client.get("/")).text()
    assert [record.__dict__["operation"] for record in caplog.records if record.name == "lockstep.audit"] == [
        "retryDeadLetter"
    ]


@pytest.mark.parametrize("path", ["/login", "/logout", RETRY])
@pytest.mark.parametrize("origin", [None, "null", "http://127.0.0.1:1", "https://evil.example"])
async def test_page_of_another_site_changes_nothing(
    locked: Dashboard, pipeline: FakePipeline, token: str, path: str, origin: str | None
) -> None:
    await sign_in(locked, token)
    headers = {} if origin is None else {"Origin": origin}
    response = await locked.client.post(path, data={"token": token}, headers=headers, allow_redirects=False)
    assert response.status == 403
    assert pipeline.retried == []
    assert (await locked.client.get("/")).status == 200, "the session stands"


async def test_without_a_session_only_the_way_to_sign_in_is_shown(locked: Dashboard) -> None:
    response = await locked.client.get("/", allow_redirects=False)
    assert (response.status, response.headers["Location"]) == (303, "/login")
    for path in ("/dashboard/events", "/dashboard/search?q=hat"):
        assert (await locked.client.get(path)).status == 401
    assert (await locked.client.post(RETRY, headers=locked.origin)).status == 401
    login = await locked.client.get("/login")
    assert login.status == 200
    assert "Strap top" not in await login.text()


async def test_session_is_named_by_a_cookie_that_does_not_hold_the_token(locked: Dashboard, token: str) -> None:
    response = await sign_in(locked, token)
    assert response.status == 303
    cookie = response.headers["Set-Cookie"]
    assert all(part in cookie for part in ("HttpOnly", "SameSite=Strict", "Path=/", "Max-Age=43200"))
    assert token not in cookie
    assert (await locked.client.get("/")).status == 200


async def test_wrong_token_is_told_on_the_page_and_begins_no_session(locked: Dashboard) -> None:
    response = await sign_in(locked, "lockstep_0")
    assert response.status == 401
    assert "none of this server" in await response.text()
    assert "Set-Cookie" not in response.headers
    assert "WWW-Authenticate" not in response.headers


async def test_token_without_the_scope_opens_nothing(locked: Dashboard, tokens_file: Path) -> None:
    shop = create_token(tokens_file, "shop", frozenset((Scope.SEARCH,)), now=datetime.now(UTC))
    response = await sign_in(locked, shop)
    assert response.status == 403
    assert "does not have the scope operate" in await response.text()


async def test_search_needs_the_scope_search_also_here(locked: Dashboard, token: str) -> None:
    await sign_in(locked, token)
    text = await (await locked.client.get("/dashboard/search", params={"q": "hat"})).text()
    assert "does not have the scope search" in text


async def test_revoked_token_ends_the_session_and_the_stream(locked: Dashboard, token: str, tokens_file: Path) -> None:
    await sign_in(locked, token)
    async with locked.client.get("/dashboard/events") as response:
        await event(response)
        await event(response)
        revoke_token(tokens_file, "oncall")
        await locked.sampler.look()
        async with asyncio.timeout(2):
            assert (await response.content.read()).strip() == b""
    assert (await locked.client.get("/")).status == 401
    assert (await locked.client.get("/dashboard/events")).status == 401


async def test_signing_out_ends_the_session_on_the_server_too(locked: Dashboard, token: str) -> None:
    name = (await sign_in(locked, token)).cookies["lockstep"].value
    await locked.client.post("/logout", headers=locked.origin)
    response = await locked.client.get("/dashboard/events", headers={"Cookie": f"lockstep={name}"})
    assert response.status == 401


@pytest.mark.parametrize("form", [b"\xff\xfe=", b"token", b"", b"token=%0d%0aHost:x", b"token=" + 5000 * b"a"])
async def test_form_that_holds_no_token_is_no_failure_of_ours(locked: Dashboard, form: bytes) -> None:
    response = await locked.client.post("/login", data=form, headers=locked.origin, allow_redirects=False)
    assert response.status == 401
