"""Reconciliation in the background: one job at a time, the last few remembered."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from enum import StrEnum
from uuid import uuid4

from pydantic import BaseModel, Field

from ops.reconcile.report import ReconcileReport, ReconcileRun, RepairReport
from ops.reconcile.run import Asked, Progress, Stage
from schemas.errors import LockstepError

logger = logging.getLogger(__name__)

REMEMBERED = 20

Run = Callable[[Asked, Progress], Awaitable[ReconcileRun]]


class JobState(StrEnum):
    """What became of a job."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class ReconcileJob(BaseModel):
    """A job: how far it has come, and what it found and repaired; both count while it runs."""

    id: str
    state: JobState
    stage: Stage
    fix: bool
    sample: float | None = Field(description="The share that is looked at; null for everything.")
    started_at: datetime
    finished_at: datetime | None = None
    good: bool | None = Field(default=None, description="Whether Postgres and Qdrant agree by now; null until the end.")
    error: str | None = Field(default=None, description="Why it did not come to its end.")
    report: ReconcileReport | None = None
    repair: RepairReport | None = None


class JobRunningError(Exception):
    """One is running already; `id` names it."""

    def __init__(self, id_: str) -> None:
        super().__init__(f"job {id_} is running")
        self.id = id_


class ReconcileJobs:
    """The jobs of one process. `run` does the work and counts in the progress it is given."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._jobs: dict[str, tuple[ReconcileJob, Progress]] = {}
        self._task: asyncio.Task[None] | None = None

    def start(self, asked: Asked) -> ReconcileJob:
        """Begin one; returns at once.

        Raises:
            JobRunningError: One is running already.
        """
        for job, _ in self._jobs.values():
            if job.state is JobState.RUNNING:
                raise JobRunningError(job.id)
        progress = Progress()
        job = ReconcileJob(
            id=uuid4().hex,
            state=JobState.RUNNING,
            stage=progress.stage,
            fix=asked.fix,
            sample=asked.share,
            started_at=datetime.now(UTC),
        )
        self._jobs[job.id] = job, progress
        for old in list(self._jobs)[:-REMEMBERED]:
            del self._jobs[old]
        self._task = asyncio.create_task(self._work(job, asked, progress))
        return job

    def get(self, id_: str) -> ReconcileJob | None:
        """How a job stands now; None for one that is not remembered."""
        if id_ not in self._jobs:
            return None
        job, progress = self._jobs[id_]
        return job.model_copy(
            update={"stage": progress.stage, "report": progress.report, "repair": progress.repair}, deep=True
        )

    async def close(self) -> None:
        """End the job that runs, and wait until it has let go of everything; no repair is left half done."""
        if self._task and not self._task.done():
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _work(self, job: ReconcileJob, asked: Asked, progress: Progress) -> None:
        try:
            result = await self._run(asked, progress)
            job.state, job.good = JobState.DONE, result.good
        except LockstepError as error:
            job.state, job.error = JobState.FAILED, str(error)
            logger.warning("reconcile failed", extra={"action": "reconcile_failed", "job": job.id, "error": str(error)})
        except asyncio.CancelledError:
            job.state = JobState.CANCELLED
            raise
        except Exception:  # nobody awaits this task: whoever asks for the job is told
            job.state, job.error = JobState.FAILED, "an unknown error: see the log"
            logger.exception("reconcile failed", extra={"action": "reconcile_failed", "job": job.id})
        finally:
            job.finished_at = datetime.now(UTC)
