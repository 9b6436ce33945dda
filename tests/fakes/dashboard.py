"""The dashboard over a pipeline of a test's own, asked through a real socket."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp.test_utils import TestClient, TestServer

from ops.api import dead_letter_routes
from ops.api.access import Access
from ops.api.app import Limits, create_api
from ops.api.dashboard import add_dashboard
from ops.api.dashboard_sampler import Sampler, Snapshot
from ops.api.dead_letter_routes import summary
from ops.api.known_tokens import KnownTokens
from ops.dead_letter_jobs import LetterRetries, RetryResult
from ops.dead_letters import FoundLetter
from ops.settings import StatusSettings
from ops.status.report import SyncStatus
from ops.status.thresholds import judge
from schemas.errors import LockstepError
from schemas.search import Hit, SearchAnswer, SearchQuery


@dataclass
class FakePipeline:
    """What the sampler finds, and what a retry and a search give; `go` holds retries back."""

    status: SyncStatus
    letters: list[FoundLetter] = field(default_factory=list)
    hits: list[Hit] = field(default_factory=list)
    error: LockstepError | None = None
    retried: list[FoundLetter] = field(default_factory=list)
    go: asyncio.Event = field(default_factory=asyncio.Event)
    retries: LetterRetries = field(init=False)

    def __post_init__(self) -> None:
        self.retries = LetterRetries(self.retry)

    async def read(self) -> list[FoundLetter]:
        return self.letters

    async def retry(self, found: FoundLetter) -> RetryResult:
        self.retried.append(found)
        await self.go.wait()
        if self.error:
            raise self.error
        return RetryResult(outcome="indexed", resolved=True)

    async def search(self, query: SearchQuery) -> SearchAnswer:
        if self.error:
            raise self.error
        return SearchAnswer(hits=self.hits)

    async def look(self, before: Snapshot | None) -> Snapshot:
        status = judge(self.status, StatusSettings())
        return Snapshot(status=status, age_seconds=1.5, letters=summary(self.letters, self.retries))


@dataclass(kw_only=True)
class Dashboard:
    """A client of it, and the sampler behind it, which looks only when it is told."""

    client: TestClient[Any, Any]
    sampler: Sampler

    @property
    def origin(self) -> dict[str, str]:
        """What a browser sends along from the dashboard's own pages."""
        return {"Origin": str(self.client.make_url("/")).rstrip("/")}


@asynccontextmanager
async def dashboard(pipeline: FakePipeline, tokens: KnownTokens) -> AsyncIterator[Dashboard]:
    """The dashboard as `ops.serve` joins it, after one look."""
    gate = Access(tokens, rate_per_second=1000)
    operations = dead_letter_routes.operations(pipeline.read, pipeline.retries)
    app = create_api(operations, gate=gate, limits=Limits(), host="127.0.0.1")
    sampler = Sampler(pipeline.look)
    await sampler.look()
    add_dashboard(app, gate=gate, sampler=sampler, search=pipeline, retry=operations[-1], https=False)
    try:
        async with TestClient(TestServer(app)) as client:
            yield Dashboard(client=client, sampler=sampler)
    finally:
        await pipeline.retries.close()
