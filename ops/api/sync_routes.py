"""Sync: how the pipeline stands, and reconciliation as a job."""

from collections.abc import Awaitable, Callable
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from ops.api.operation import Call, Operation, Reply, Scope, Success
from ops.api.problems import ProblemError, ProblemType
from ops.reconcile.jobs import JobRunningError, ReconcileJob, ReconcileJobs
from ops.reconcile.run import VECTORS, Asked
from ops.status.report import SyncStatus

JOBS = "/sync/reconcile"

ReadStatus = Callable[[], Awaitable[SyncStatus]]


class ReconcileParameters(BaseModel):
    """What the job is to do."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    fix: bool = Field(default=False, description="Repair what differs.")
    sample: Annotated[float, Field(gt=0, le=1)] | None = Field(
        default=None, description="Look at this share of rows and points only, drawn at random.", examples=[0.05]
    )
    vectors: int = Field(
        default=VECTORS, ge=0, le=10_000, description="So many points are embedded anew, and their vectors compared."
    )


class JobPath(BaseModel):
    """A job."""

    model_config = ConfigDict(frozen=True)

    id: str = Field(min_length=1, max_length=64, description="As `Location` named it.")


def operations(read_status: ReadStatus, jobs: ReconcileJobs) -> tuple[Operation, ...]:
    """Status, and reconciliation: begin a job, and see how it goes."""

    async def status(_: Call[None, None, None]) -> Reply:
        return Reply(body=await read_status())

    async def begin(call: Call[None, ReconcileParameters, None]) -> Reply:
        asked = call.query
        share = None if asked.sample == 1 else asked.sample
        try:
            job = jobs.start(Asked(fix=asked.fix, share=share, vectors=asked.vectors))
        except JobRunningError as error:
            location = {"Location": f"{JOBS}/{error.id}"}
            raise ProblemError(ProblemType.BUSY_JOB, f"job {error.id} is running", headers=location) from error
        return Reply(status=202, body=job, headers={"Location": f"{JOBS}/{job.id}"})

    async def see(call: Call[JobPath, None, None]) -> Reply:
        job = jobs.get(call.path.id)
        if job is None:
            raise ProblemError(ProblemType.NO_JOB, "no job of this id is remembered")
        return Reply(body=job)

    return (
        Operation(
            method="GET",
            path="/sync/status",
            name="syncStatus",
            summary="See how the pipeline stands",
            description=(
                "The same as `lockstep status --json`. `lines` has each part judged by the thresholds in the settings. "
                "A part that cannot be asked is null, and has its reason in `unavailable`."
            ),
            tag="sync",
            scope=Scope.OPERATE,
            handler=status,
            successes=(Success(description="How every part stands.", model=SyncStatus),),
        ),
        Operation(
            method="POST",
            path=JOBS,
            name="reconcile",
            summary="Compare Postgres with Qdrant, and repair what differs",
            description="Begins a job; one runs at a time. A repair that is cut short is ended by the next.",
            tag="sync",
            scope=Scope.OPERATE,
            handler=begin,
            query_model=ReconcileParameters,
            successes=(
                Success(
                    status=202,
                    description="The job has begun.",
                    model=ReconcileJob,
                    headers={"Location": "Where to see how it goes."},
                ),
            ),
            problems=(ProblemType.BUSY_JOB,),
        ),
        Operation(
            method="GET",
            path=f"{JOBS}/{{id}}",
            name="reconcileJob",
            summary="See how a reconciliation goes, and what came of it",
            tag="sync",
            scope=Scope.OPERATE,
            handler=see,
            path_model=JobPath,
            successes=(Success(description="The job.", model=ReconcileJob),),
            problems=(ProblemType.NO_JOB,),
        ),
    )
