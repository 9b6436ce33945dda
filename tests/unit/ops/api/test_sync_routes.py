"""Status and jobs over HTTP."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from ops.api.sync_routes import operations
from ops.reconcile.jobs import ReconcileJobs
from ops.reconcile.report import ReconcileReport, ReconcileRun
from ops.reconcile.run import Asked, Progress
from ops.sync_status import SyncStatus
from tests.fakes.api import served

NOW = datetime(2026, 11, 20, 10, tzinfo=UTC)
STATUS = SyncStatus(
    at=NOW,
    rows=3,
    index=None,
    lag=None,
    slot=None,
    connector=None,
    open_dead_letters=0,
    last_reconcile=None,
    unavailable={"index": "qdrant is down"},
)


class Work:
    """What jobs do: they end when told."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.go_on = asyncio.Event()

    async def __call__(self, asked: Asked, progress: Progress) -> ReconcileRun:
        self.asked.append(asked)
        progress.report = ReconcileReport(collection="c")
        await self.go_on.wait()
        return ReconcileRun(started_at=NOW, finished_at=NOW, report=progress.report)


@pytest.fixture
def work() -> Work:
    return Work()


@pytest.fixture
async def client(work: Work) -> AsyncIterator[TestClient[Any, Any]]:
    jobs = ReconcileJobs(work)

    async def status() -> SyncStatus:
        return STATUS

    async with served(*operations(status, jobs)) as client:
        yield client
    await jobs.close()


async def test_status_tells_every_part_and_why_one_is_missing(client: TestClient[Any, Any]) -> None:
    answer = await client.get("/sync/status")
    assert answer.status == 200
    assert (await answer.json())["unavailable"] == {"index": "qdrant is down"}


async def test_a_job_is_begun_followed_and_ended(client: TestClient[Any, Any], work: Work) -> None:
    begun = await client.post("/sync/reconcile", params={"fix": "true", "sample": "0.05", "vectors": "7"})
    assert begun.status == 202
    place = begun.headers["Location"]
    assert (await (await client.get(place)).json())["state"] == "running"
    assert work.asked == [Asked(fix=True, share=0.05, vectors=7)]

    second = await client.post("/sync/reconcile")
    assert (second.status, second.headers["Location"]) == (409, place)
    assert place.rpartition("/")[2] in (await second.json())["detail"]

    work.go_on.set()
    async with asyncio.timeout(5):
        while (job := await (await client.get(place)).json())["state"] == "running":
            pass
    assert (job["state"], job["good"]) == ("done", True)


async def test_a_whole_look_is_no_sample(client: TestClient[Any, Any], work: Work) -> None:
    answer = await client.post("/sync/reconcile", params={"sample": "1"})
    assert (await answer.json())["sample"] is None


@pytest.mark.parametrize(
    "parameters", [{"sample": "0"}, {"sample": "5"}, {"sample": "NaN"}, {"fix": "maybe"}, {"vectors": "-1"}, {"x": "1"}]
)
async def test_what_a_job_cannot_do_is_refused(
    client: TestClient[Any, Any], work: Work, parameters: dict[str, str]
) -> None:
    assert (await client.post("/sync/reconcile", params=parameters)).status == 422
    assert work.asked == []


async def test_an_unknown_job_is_not_found(client: TestClient[Any, Any]) -> None:
    assert (await client.get("/sync/reconcile/none")).status == 404
