"""Jobs: one at a time, told while they run, ended with the process."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import pytest

from ops.reconcile import jobs as jobs_module
from ops.reconcile.jobs import JobRunningError, JobState, ReconcileJob, ReconcileJobs
from ops.reconcile.report import ReconcileReport, ReconcileRun
from ops.reconcile.run import Asked, Progress, Stage
from schemas.errors import VectorStoreError

NOW = datetime(2026, 11, 20, 10, tzinfo=UTC)


async def good(asked: Asked, progress: Progress) -> ReconcileRun:
    progress.report = ReconcileReport(collection="c", rows=3)
    progress.stage = Stage.DONE
    return ReconcileRun(started_at=NOW, finished_at=NOW, report=progress.report)


async def ended(jobs: ReconcileJobs, job: ReconcileJob) -> ReconcileJob:
    async with asyncio.timeout(5):
        while (now := jobs.get(job.id)) is not None and now.state is JobState.RUNNING:
            await asyncio.sleep(0)
    assert now is not None
    return now


async def test_a_job_tells_what_came_of_it() -> None:
    jobs = ReconcileJobs(good)
    started = jobs.start(Asked(fix=True, share=0.05))
    assert (started.state, started.fix, started.sample) == (JobState.RUNNING, True, 0.05)
    job = await ended(jobs, started)
    assert (job.state, job.stage, job.good) == (JobState.DONE, Stage.DONE, True)
    assert job.report is not None
    assert job.report.rows == 3
    assert job.finished_at is not None


async def test_one_job_runs_at_a_time_and_counts_meanwhile() -> None:
    go_on = asyncio.Event()

    async def slow(asked: Asked, progress: Progress) -> ReconcileRun:
        progress.report = ReconcileReport(collection="c", rows=1)
        await go_on.wait()
        return await good(asked, progress)

    jobs = ReconcileJobs(slow)
    first = jobs.start(Asked())
    await asyncio.sleep(0)
    assert (now := jobs.get(first.id)) is not None
    assert now.report is not None
    assert now.report.rows == 1
    with pytest.raises(JobRunningError) as caught:
        jobs.start(Asked())
    assert caught.value.id == first.id
    go_on.set()
    await ended(jobs, first)
    assert jobs.start(Asked()).id != first.id
    await jobs.close()


async def _down(asked: Asked, progress: Progress) -> ReconcileRun:
    raise VectorStoreError("qdrant is down")


async def _wrong(asked: Asked, progress: Progress) -> ReconcileRun:
    raise ZeroDivisionError


@pytest.mark.parametrize(("run", "error"), [(_down, "qdrant is down"), (_wrong, "unknown error")])
async def test_a_job_that_fails_says_why(
    run: Callable[[Asked, Progress], Awaitable[ReconcileRun]], error: str, caplog: pytest.LogCaptureFixture
) -> None:
    jobs = ReconcileJobs(run)
    job = await ended(jobs, jobs.start(Asked()))
    assert job.state is JobState.FAILED
    assert error in (job.error or "")
    assert len(caplog.records) == 1


async def test_the_end_of_the_process_cancels_the_job_and_waits_for_it() -> None:
    let_go = []

    async def endless(asked: Asked, progress: Progress) -> ReconcileRun:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            let_go.append(True)
        return await good(asked, progress)

    jobs = ReconcileJobs(endless)
    job = jobs.start(Asked())
    await asyncio.sleep(0)
    await jobs.close()
    assert let_go == [True]
    assert (now := jobs.get(job.id)) is not None
    assert now.state is JobState.CANCELLED
    await ReconcileJobs(endless).close()


async def test_old_jobs_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs_module, "REMEMBERED", 2)
    jobs = ReconcileJobs(good)
    ids = [(await ended(jobs, jobs.start(Asked()))).id for _ in range(4)]
    assert [jobs.get(id_) is not None for id_ in ids] == [False, False, True, True]
