"""A pipeline that is well in every part; each test spoils what it is about."""

from datetime import UTC, datetime, timedelta
from typing import Any

from ops.reconcile.report import Difference, ReconcileReport, ReconcileRun
from ops.status.report import (
    ConnectorState,
    GroupStatus,
    IndexStatus,
    LagStatus,
    MemberStatus,
    PartitionLag,
    SlotStatus,
    SyncStatus,
    WorkerStatus,
)

NOW = datetime(2026, 11, 20, 10, tzinfo=UTC)


def ago(**time: float) -> datetime:
    return NOW - timedelta(**time)


def connector(**spoilt: Any) -> ConnectorState:
    return ConnectorState(name="products-pg-source", state="RUNNING", tasks=["RUNNING"]).model_copy(update=spoilt)


def slot(**spoilt: Any) -> SlotStatus:
    return SlotStatus(
        name="dbz_products",
        active=True,
        confirmed="0/1B5FAC0",
        lag_bytes=136,
        held_back_bytes=1_200,
        safe_wal_bytes=None,
        wal_status="reserved",
    ).model_copy(update=spoilt)


def lag(records: int = 0, **spoilt: Any) -> LagStatus:
    partitions = [
        PartitionLag(partition=0, low_watermark=0, committed=40, high_watermark=40 + records, lag_records=records),
        PartitionLag(partition=1, low_watermark=0, committed=7, high_watermark=7, lag_records=0),
    ]
    return LagStatus(lag_records=records, newest_indexed_at=ago(seconds=5), partitions=partitions).model_copy(
        update=spoilt
    )


def group(**spoilt: Any) -> GroupStatus:
    return GroupStatus(state="STABLE", members=[MemberStatus(name="worker-1", partitions=[0, 1])]).model_copy(
        update=spoilt
    )


def worker(**spoilt: Any) -> WorkerStatus:
    return WorkerStatus(
        url="http://127.0.0.1:6066",
        name="worker-1",
        partitions=[0, 1],
        uptime_seconds=7_300.0,
        table_entries=48,
        records=47,
        embeddings_made=30,
        embeddings_avoided=17,
        actions={"upsert_point": 30, "overwrite_payload": 17, "skip": 0},
    ).model_copy(update=spoilt)


def index(**spoilt: Any) -> IndexStatus:
    return IndexStatus(
        alias="products",
        collection="products-20261120t100000-3a5f644c",
        points=47,
        recipe="3a5f644c" + 56 * "0",
        model="lockstep/all-minilm-l6-v2-int8",
        dimensions=384,
    ).model_copy(update=spoilt)


def reconcile_run(*, missing: int = 0, error: str | None = None, finished_at: datetime | None = None) -> ReconcileRun:
    finished = finished_at or ago(hours=1)
    report = ReconcileReport(collection="c", rows=47, points=47, missing=Difference(count=missing))
    return ReconcileRun(started_at=finished, finished_at=finished, report=None if error else report, error=error)


def status(**spoilt: Any) -> SyncStatus:
    return SyncStatus(
        at=NOW,
        rows=47,
        index=index(),
        lag=lag(),
        group=group(),
        workers=[worker()],
        slot=slot(),
        connector=connector(),
        open_dead_letters=0,
        dead_letters_by_reason={},
        last_reconcile=reconcile_run(),
        unavailable={},
    ).model_copy(update=spoilt)
