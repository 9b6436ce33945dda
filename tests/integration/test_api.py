"""The whole API over the real stack, held to its contract: every parameter at its edges, and beyond them."""

import asyncio
import sys
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from ops.api import access
from ops.api.known_tokens import KnownTokens
from ops.api.operation import Scope
from ops.devstack.stack import Stack
from ops.serve import open_api
from ops.settings import ApiSettings
from ops.stores import open_rows
from ops.tokens import create_token

pytestmark = pytest.mark.stack

SCHEMATHESIS = Path(sys.executable).with_name("st")
UNWRITTEN = "positive_data_acceptance"
"""The check that fails on what no schema can say: bounds between two fields, an If-Match of another version."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """Where it is served, and a token that may do everything."""

    url: str
    token: str


@pytest.fixture
async def api(stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Api]:
    """The API beside the stack; rows that its callers left behind are removed at the end."""
    # Each operation is asked without a token several times: more than a stranger may.
    monkeypatch.setattr(access, "FAILURES_AT_ONCE", 10_000)
    token = create_token(tmp_path / "tokens.json", "contract", frozenset(Scope), now=datetime.now(UTC))
    settings = stack.settings.model_copy(update={"home": tmp_path, "api": ApiSettings(rate_per_second=10_000)})
    async with open_rows(settings) as rows:
        newest = max([product.id async for page in rows.pages() for product in page], default=0)
        async with open_api(settings, KnownTokens(settings.tokens_file)) as app:
            runner = web.AppRunner(app, access_log=None)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            yield Api(url=f"http://127.0.0.1:{runner.addresses[0][1]}", token=token)
            await runner.cleanup()
        await rows.execute("DELETE FROM products WHERE id > $1", newest)


async def test_no_request_brings_about_a_failure_or_an_answer_that_is_not_documented(api: Api, tmp_path: Path) -> None:
    run = await asyncio.create_subprocess_exec(
        SCHEMATHESIS,
        "run",
        f"{api.url}/openapi.json",
        f"--header=Authorization: Bearer {api.token}",
        "--phases=examples,coverage",
        "--generation-deterministic",
        f"--exclude-checks={UNWRITTEN}",
        "--continue-on-failure",
        "--no-color",
        cwd=tmp_path,
        stdout=PIPE,
        stderr=STDOUT,
    )
    output, _ = await run.communicate()
    assert run.returncode == 0, output.decode()


async def test_every_group_of_operations_is_served_and_documented(api: Api) -> None:
    async with aiohttp.ClientSession(api.url) as session, session.get("/openapi.json") as response:
        document = await response.json()
    assert {"catalogue", "search", "sync", "health"} <= {tag["name"] for tag in document["tags"]}
