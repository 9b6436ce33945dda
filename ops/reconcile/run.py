"""One run of reconciliation from settings: compare, ask, repair, keep what came of it."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from functools import partial

from connectors.kafka import KafkaAdmin
from connectors.postgres import Postgres
from connectors.qdrant import QdrantStore
from ops.catch_up import Pipeline
from ops.dead_letter_retry import SetAside
from ops.reconcile.comparison import Comparison
from ops.reconcile.findings import Findings
from ops.reconcile.keeping import Keeping
from ops.reconcile.repair import Repair
from ops.reconcile.report import ReconcileReport, ReconcileRun, RepairReport
from ops.reconcile.tombstones import Tombstones
from ops.reconcile.vectors import VectorCheck, compare_vectors
from ops.settings import Settings
from ops.source import check_epoch, read_marks
from ops.stores import open_embedders, open_rows, open_store
from schemas.errors import LockstepError, ReplayError, SettingsError
from streams.ports import Embedders

VECTORS = 100
"""So many vectors are embedded anew: about two seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a run is to do. `share` of rows and points is looked at, or all; `vectors` many are embedded anew."""

    fix: bool = False
    dry_run: bool = False
    share: float | None = None
    vectors: int = VECTORS


class Stage(StrEnum):
    """How far a run has come."""

    COMPARING = "comparing"
    REPAIRING = "repairing"
    DONE = "done"


@dataclass(slots=True, kw_only=True)
class Progress:
    """Counts while a run runs."""

    stage: Stage = Stage.COMPARING
    report: ReconcileReport | None = None
    repair: RepairReport | None = None


async def run(
    settings: Settings,
    asked: Asked,
    *,
    approve: Callable[[ReconcileReport, RepairReport], bool] = lambda report, plan: True,
    say: Callable[[str], None] = lambda line: None,
    progress: Progress | None = None,
    embedders: Embedders | None = None,
) -> ReconcileRun:
    """Compare Postgres with Qdrant; with `fix`, repair what differs once `approve` has seen the plan and agreed.

    `embedders` are used where given, and else loaded for the run. What came of it is kept under the settings' home,
    errors too. A run that is killed or cancelled leaves no half repair.

    Raises:
        ReplayError: Another repair is running.
        LockstepError: A part cannot be reached, or makes no progress.
    """
    progress = progress or Progress()
    keeping = Keeping(settings.home)
    result = ReconcileRun(started_at=_now(), finished_at=_now())
    try:
        async with _parts(settings, embedders, say) as parts:
            await _run(parts, asked, keeping, progress, approve)
    except LockstepError as error:
        result.error = str(error)
        raise
    finally:
        progress.stage = Stage.DONE
        result.finished_at, result.report, result.repair = _now(), progress.report, progress.repair
        if progress.report is not None or result.error is not None:
            _keep(keeping, result, say)
    return result


@dataclass(frozen=True, slots=True, kw_only=True)
class _Parts:
    settings: Settings
    rows: Postgres
    store: QdrantStore
    admin: KafkaAdmin
    pipeline: Pipeline
    embedders: Embedders
    say: Callable[[str], None]


@asynccontextmanager
async def _parts(settings: Settings, embedders: Embedders | None, say: Callable[[str], None]) -> AsyncIterator[_Parts]:
    async with (
        open_store(settings) as store,
        open_rows(settings) as rows,
        KafkaAdmin(settings.kafka.brokers) as admin,
    ):
        ours = open_embedders(settings)
        try:
            yield _Parts(
                settings=settings,
                rows=rows,
                store=store,
                admin=admin,
                pipeline=Pipeline(rows, admin, say),
                embedders=embedders or ours,
                say=say,
            )
        finally:
            ours.close()


async def _run(
    parts: _Parts,
    asked: Asked,
    keeping: Keeping,
    progress: Progress,
    approve: Callable[[ReconcileReport, RepairReport], bool],
) -> None:
    comparison = await Comparison.of(
        parts.rows, parts.store, settle=parts.pipeline.settle, share=asked.share, sample_size=asked.vectors
    )
    progress.report = comparison.report
    check = VectorCheck(rows=parts.rows, store=parts.store, live=comparison.live, embedders=parts.embedders)
    await comparison.run()
    await compare_vectors(comparison, check)
    found = comparison.findings
    if not asked.fix or not (found or keeping.unfinished()):
        return
    plan = planned(found)
    if asked.dry_run or not approve(comparison.report, plan):
        progress.repair = plan
        return
    progress.stage = Stage.REPAIRING
    settings = parts.settings
    check_epoch(await read_marks(parts.admin, settings.kafka.brokers), settings.worker.epoch)
    repair = Repair(
        rows=parts.rows,
        store=parts.store,
        audit=comparison.audit,
        live=comparison.live,
        log=Tombstones(settings.kafka.brokers, parts.admin),
        note=keeping,
        settle=parts.pipeline.settle,
        vectors=check,
        watch_dead_letters=partial(SetAside.after_now, settings.kafka.brokers),
        epoch=settings.worker.epoch,
        say=parts.say,
    )
    progress.repair = repair.report
    async with parts.rows.alone(f"lockstep reconcile of {settings.qdrant.alias}") as held:
        if not held:
            raise ReplayError("another repair is running", hint="wait until it has come to its end")
        await repair.run(found)


def planned(found: Findings) -> RepairReport:
    """What a repair of this would do."""
    named = sum(1 for orphan in found.orphans if orphan.key is not None)
    return RepairReport(
        dry_run=True,
        read_again=len({*found.missing, *found.stale, *found.drifted}),
        tombstones=named,
        removed=len(found.orphans) - named,
    )


def _keep(keeping: Keeping, result: ReconcileRun, say: Callable[[str], None]) -> None:
    try:
        keeping.keep(result)
    except SettingsError as error:
        say(f"{error}: this report is not kept")


def _now() -> datetime:
    return datetime.now(UTC)
