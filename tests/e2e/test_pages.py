"""The dashboard and the worker's page in a real browser, over the running stack."""

import os
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import orjson
import pytest
from aiohttp import web
from playwright.async_api import Browser, Page, async_playwright, expect

from ops.api.known_tokens import KnownTokens
from ops.api.operation import Scope
from ops.serve import open_api
from ops.settings import ApiSettings, Settings
from ops.tokens import create_token, revoke_token
from tests.e2e.conftest import WORKER, Running

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
SCREENSHOTS = os.environ.get("SCREENSHOTS")
"""Where the pictures go; else each test's own directory has them."""
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
SOON = 15_000
"""Milliseconds that something may take to show."""

pytestmark = [
    pytest.mark.stack,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine: apt-get install chromium"),
]


@dataclass(kw_only=True)
class Tab:
    """A page, and what a browser complains of; it is closed with the browser."""

    page: Page
    pictures: Path
    complaints: list[str] = field(default_factory=list)
    hosts: set[str] = field(default_factory=set)

    @classmethod
    async def open(
        cls, browser: Browser, url: str, pictures: Path, *, width: int = 1280, scheme: str = "light"
    ) -> "Tab":
        page = await browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        tab = cls(page=page, pictures=pictures)
        page.on("console", lambda said: tab.complaints.append(said.text) if said.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: tab.complaints.append(str(error)))
        page.on("request", lambda request: tab.hosts.add(urlsplit(request.url).netloc))
        await page.goto(url)
        return tab

    async def picture(self, name: str) -> None:
        self.pictures.mkdir(parents=True, exist_ok=True)
        await self.page.screenshot(path=self.pictures / f"{name}.png", full_page=True)


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        await browser.close()


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    return Path(SCREENSHOTS) if SCREENSHOTS else tmp_path / "screenshots"


@asynccontextmanager
async def served(settings: Settings, home: Path) -> AsyncIterator[str]:
    """The dashboard beside the stack; its address."""
    status = settings.status.model_copy(update={"held_seconds": "0,1"})  # red at once, for the test's sake
    settings = settings.model_copy(update={"home": home, "api": ApiSettings(), "status": status})
    async with open_api(settings, KnownTokens(settings.tokens_file)) as app:
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=5)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            yield f"http://127.0.0.1:{runner.addresses[0][1]}"
        finally:
            await runner.cleanup()


async def test_promise_6_a_look_tells_what_is_stuck_and_that_it_goes_on(
    running: Running, browser: Browser, tmp_path: Path, pictures: Path
) -> None:
    async with served(running.stack.settings, tmp_path) as url:
        tab = await Tab.open(browser, url, pictures)
        work = await Tab.open(browser, f"{running.stack.address(WORKER)}/pipeline/", pictures)
        page = tab.page
        rows, points = page.locator("#part-postgres dd").first, page.locator("#part-qdrant dd").first
        workers, line = page.locator("#part-workers"), page.locator("#workers-title + .wide tbody tr")
        await expect(workers).to_have_class("part green", timeout=SOON)
        before = int(await rows.inner_text())

        await running.insert("seen", name="A dress nobody else sells", color="Ultramarine")
        await expect(rows).to_have_text(str(before + 1), timeout=SOON)
        await expect(points).to_have_text(str(before + 1), timeout=SOON)
        await expect(page.locator("#chart-lag canvas")).to_be_visible()
        await page.locator("#lines summary").click()
        places = await _places(page)
        await tab.picture("dashboard-in-step")

        await running.stack.kill("qdrant", signal.SIGKILL)
        try:
            await running.sql("UPDATE products SET price = 5 WHERE article_id = $1", running.key("seen"))
            await expect(workers).to_have_class("part red", timeout=SOON)
            await expect(line).to_have_class("red", timeout=SOON)
            await expect(line).to_contain_text("held")
            await expect(page.locator("#headline")).to_have_text("Needs you now")
            await expect(work.page.locator("td", has_text="held").first).to_be_visible(timeout=SOON)
            assert await _places(page) == places, "the parts stay where they are"
            await tab.picture("dashboard-qdrant-away")
            await work.picture("worker-qdrant-away")
        finally:
            await running.stack.restart("qdrant")
        await expect(workers).to_have_class("part green", timeout=SOON)
        await expect(line).to_have_class("green")
        await expect(work.page.locator("td", has_text="held")).to_have_count(0, timeout=SOON)
        await expect(page.locator("#part-qdrant")).to_have_class("part green", timeout=SOON)
        assert await _places(page) == places
        await expect(page.locator("#lines")).to_have_attribute("open", "")
        await expect(page.locator("#lines summary")).to_be_focused()
        assert tab.complaints + work.complaints == []
        assert tab.hosts == {urlsplit(url).netloc}
        assert work.hosts == {urlsplit(running.stack.address(WORKER)).netloc}


async def test_search_shows_both_halves_and_what_is_hostile_as_text(
    running: Running, browser: Browser, tmp_path: Path, pictures: Path
) -> None:
    name = "<script>alert(1)</script> ultramarine <b>dress</b>"
    key = await running.insert("hostile", name=name, description="<img src=x onerror=alert(2)>")
    await running.until_payload(key)
    async with served(running.stack.settings, tmp_path) as url:
        tab = await Tab.open(browser, url, pictures, width=360, scheme="dark")
        page = tab.page
        page.on("dialog", lambda dialog: pytest.fail(f"it ran: {dialog.message}"))
        await page.get_by_label("What to look for").fill("ultramarine dress")
        await page.keyboard.press("Enter")
        for half in ("By meaning", "Both, fused", "By words"):
            await expect(page.get_by_role("region", name=half).locator("li").first).to_contain_text(name, timeout=SOON)
        fused = page.get_by_role("region", name="Both, fused").locator("li").first
        await expect(fused).to_contain_text("meaning 1 words 1")
        assert await page.evaluate("document.documentElement.scrollWidth") <= 360
        await expect(page.locator("#chart-lag canvas")).to_be_visible(timeout=SOON)
        await tab.picture("dashboard-phone-dark-search")
        # The same without a script: the form's own address.
        plain = await browser.new_page(java_script_enabled=False)
        await plain.goto(f"{url}/?q=ultramarine+dress")
        await expect(plain.get_by_role("region", name="Both, fused").locator("li").first).to_contain_text(name)
        assert tab.complaints == []


async def test_dead_letter_is_retried_by_its_button(
    running: Running, browser: Browser, tmp_path: Path, pictures: Path
) -> None:
    key = await running.insert("lettered")
    await running.until_payload(key)
    place = running.publish(orjson.dumps({"article_id": key}), b"{")
    await running.until_dead_letter(place)
    async with served(running.stack.settings, tmp_path) as url:
        tab = await Tab.open(browser, url, pictures)
        letter = tab.page.locator(".letters li", has_text=str(place))
        await expect(letter).to_contain_text("value is not JSON", timeout=SOON)
        await tab.picture("dashboard-dead-letter")
        await letter.get_by_role("button", name="Retry").click()
        await expect(letter).to_have_count(0, timeout=SOON)
        await expect(tab.page.locator(".retries li", has_text=str(place))).to_contain_text("indexed")
        assert tab.complaints == []


async def test_with_tokens_a_session_opens_the_page_and_ends_with_its_token(
    running: Running, browser: Browser, tmp_path: Path, pictures: Path
) -> None:
    tokens = tmp_path / "tokens.json"
    token = create_token(tokens, "oncall", frozenset((Scope.OPERATE, Scope.SEARCH)), now=datetime.now(UTC))
    async with served(running.stack.settings, tmp_path) as url:
        tab = await Tab.open(browser, url, pictures)
        page = tab.page
        await page.get_by_label("Token with the scope").fill(token.replace(token[-3:], "aaa"))
        await page.get_by_role("button", name="Sign in").click()
        await expect(page.get_by_role("alert")).to_contain_text("none of this server's")
        await page.get_by_label("Token with the scope").fill(token)
        await page.get_by_role("button", name="Sign in").click()
        await expect(page.locator("#headline")).to_be_visible(timeout=SOON)
        await expect(page.locator("#chart-lag canvas")).to_be_visible(timeout=SOON)
        [cookie] = await page.context.cookies()
        assert cookie["httpOnly"]
        assert cookie["sameSite"] == "Strict"
        assert token not in cookie["value"]
        revoke_token(tokens, "oncall")
        await expect(page.get_by_role("button", name="Sign in")).to_be_visible(timeout=SOON)


async def _places(page: Page) -> list[float]:
    """How far down each part and each heading begins."""
    found: list[float] = await page.locator(".part, #live > section > h2").evaluate_all(
        "all => all.map(one => one.getBoundingClientRect().top + scrollY)"
    )
    return found
