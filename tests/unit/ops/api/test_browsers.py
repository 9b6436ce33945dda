"""Security headers, CORS, and what a page of another site cannot do."""

import pytest

from ops.api.browsers import is_loopback
from tests.fakes.api import FakeGate, operation, served

SHOP = "https://shop.example"


@pytest.mark.parametrize("path", ["/thing", "/unknown", "/docs", "/openapi.json"])
async def test_every_answer_has_its_security_headers(path: str) -> None:
    async with served(operation()) as client, client.get(path) as response:
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["Referrer-Policy"] == "no-referrer"
        assert "default-src 'none'" in response.headers["Content-Security-Policy"]
        assert "frame-ancestors 'none'" in response.headers["Content-Security-Policy"]
        assert "Cache-Control" in response.headers
        assert response.headers["Server"] == "lockstep"
        assert "Strict-Transport-Security" not in response.headers
        assert "Access-Control-Allow-Origin" not in response.headers


async def test_over_tls_browsers_are_told_to_stay_with_it() -> None:
    async with served(operation(), https=True) as client, client.get("/thing") as response:
        assert response.headers["Strict-Transport-Security"] == "max-age=31536000"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:8080", "[::1]:8080", "127.0.0.5", "LOCALHOST"])
async def test_without_tokens_this_machine_is_answered(host: str) -> None:
    async with served(operation()) as client, client.get("/thing", headers={"Host": host}) as response:
        assert response.status == 204


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:8080", "", "[", "192.168.1.5"])
@pytest.mark.parametrize("path", ["/thing", "/docs", "/unknown"])
async def test_without_tokens_a_name_that_resolves_to_loopback_is_refused(host: str, path: str) -> None:
    async with served(operation()) as client, client.get(path, headers={"Host": host}) as response:
        assert response.status == 403
        assert (await response.json())["type"] == "/docs/problems#wrong-host"


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:1", "http://["])
async def test_without_tokens_a_page_of_another_site_is_refused(origin: str) -> None:
    async with (
        served(operation(method="POST")) as client,
        client.post("/thing", headers={"Origin": origin}) as response,
    ):
        assert response.status == 403
        assert (await response.json())["type"] == "/docs/problems#wrong-origin"


async def test_without_tokens_our_own_pages_may_call() -> None:
    async with (
        served(operation(method="POST")) as client,
        client.post("/thing", headers={"Origin": f"http://127.0.0.1:{client.port}"}) as response,
    ):
        assert response.status == 204


async def test_with_tokens_any_name_and_any_origin_may_ask() -> None:
    headers = {"Host": "api.example", "Origin": "https://evil.example"}
    async with (
        served(operation(), gate=FakeGate(unlocked=False)) as client,
        client.get("/thing", headers=headers) as response,
    ):
        assert response.status == 204
        assert "Access-Control-Allow-Origin" not in response.headers


@pytest.mark.parametrize("path", ["/thing", "/unknown"])
async def test_pages_of_an_allowed_origin_may_read_the_answer_and_its_headers(path: str) -> None:
    async with (
        served(operation(), origins=frozenset({SHOP})) as client,
        client.get(path, headers={"Origin": SHOP}) as response,
        client.get(path) as without,
    ):
        assert response.headers["Access-Control-Allow-Origin"] == SHOP
        assert "X-Request-Id" in response.headers["Access-Control-Expose-Headers"]
        assert response.headers["Vary"] == without.headers["Vary"] == "Origin"


async def test_an_allowed_origin_may_ask_what_it_may_send_and_no_other() -> None:
    asked = {"Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "authorization"}
    async with served(operation(method="PUT"), gate=FakeGate(unlocked=False), origins=frozenset({SHOP})) as client:
        async with client.options("/thing", headers=asked | {"Origin": SHOP}) as allowed:
            assert allowed.status == 204
            assert allowed.headers["Access-Control-Allow-Methods"] == "PUT"
            assert "Authorization" in allowed.headers["Access-Control-Allow-Headers"]
        async with client.options("/thing", headers=asked | {"Origin": "https://evil.example"}) as refused:
            assert refused.status == 405
            assert "Access-Control-Allow-Origin" not in refused.headers


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("::", False), ("shop", False)],
)
def test_a_loopback_host_is_known(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback
