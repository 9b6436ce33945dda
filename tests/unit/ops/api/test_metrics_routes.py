"""The metrics of the API: what was answered, and how the parts stood when they were last asked."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from ops.api.app import Limits, create_api
from ops.api.metrics_routes import ApiCollector, add_metrics
from ops.api.operation import Operation, Scope
from ops.api.problems import ProblemError, ProblemType
from ops.api.request_counters import RequestCounters
from ops.reconcile.report import Difference, ReconcileReport, ReconcileRun, RepairReport
from ops.status.report import (
    PARTS,
    ConnectorState,
    GroupStatus,
    IndexStatus,
    LagStatus,
    MemberStatus,
    PartitionLag,
    SlotStatus,
    SyncStatus,
)
from ops.status_watch import Look
from streams import metrics
from tests.fakes.api import FakeGate, operation
from tests.fakes.status import NOTHING_KNOWN

NOW = datetime(2026, 11, 20, 10, tzinfo=UTC)


@dataclass
class FakeAge:
    seconds: float | None = 1.5


@dataclass
class FakeWatch:
    latest: Look | None = None


def run(**changes: Any) -> ReconcileRun:
    report = ReconcileReport(collection="products-1", missing=Difference(count=3), stale=Difference(count=1))
    return ReconcileRun(**({"started_at": NOW, "finished_at": NOW - timedelta(seconds=60), "report": report} | changes))


def well(**changes: Any) -> SyncStatus:
    """Everything answers."""
    values: dict[str, Any] = {
        "at": NOW - timedelta(seconds=2),
        "rows": 5,
        "index": IndexStatus(alias="products", collection="products-1", points=4, recipe="r", model="m", dimensions=3),
        "lag": LagStatus(
            lag_records=2,
            oldest_waiting_at=NOW - timedelta(seconds=8),
            partitions=[PartitionLag(partition=1, low_watermark=0, committed=5, high_watermark=7, lag_records=2)],
        ),
        "group": GroupStatus(state="STABLE", members=[MemberStatus(name="worker-1", partitions=[0, 1])]),
        "slot": SlotStatus(
            name="s",
            active=False,
            confirmed="0/1",
            lag_bytes=100,
            held_back_bytes=4096,
            safe_wal_bytes=7,
            wal_status="extended",
        ),
        "connector": ConnectorState(name="c", state="RUNNING", tasks=["FAILED"]),
        "open_dead_letters": 6,
        "last_reconcile": None,
        "unavailable": {},
    }
    return SyncStatus(**(values | changes))


@dataclass
class Scraped:
    counters: RequestCounters = field(default_factory=RequestCounters)
    age: FakeAge = field(default_factory=FakeAge)
    watch: FakeWatch = field(default_factory=FakeWatch)

    def sees(self, status: SyncStatus, phases: dict[str, int] | None = None) -> None:
        self.watch = FakeWatch(latest=Look(status=status, phases=phases))

    def value(self, definition: metrics.Definition, suffix: str = "", **labels: str) -> float | None:
        registry = CollectorRegistry()
        registry.register(ApiCollector(self.counters, self.age, self.watch, now=lambda: NOW))
        return registry.get_sample_value(definition.name + suffix, labels)


@pytest.fixture
def s() -> Scraped:
    return Scraped()


@asynccontextmanager
async def served(
    s: Scraped, *operations: Operation, gate: FakeGate | None = None
) -> AsyncIterator[TestClient[Any, Any]]:
    gate = gate or FakeGate()
    app = create_api(operations, gate=gate, limits=Limits(), host="127.0.0.1")
    add_metrics(app, gate=gate, counters=s.counters, age=s.age, watch=s.watch)
    async with TestClient(TestServer(app)) as client:
        yield client


async def test_answers_are_counted_by_route_method_and_status_never_by_path(s: Scraped) -> None:
    async def fails(_: Any) -> Any:
        raise ProblemError(ProblemType.NO_PRODUCT, "there is none")

    async with served(s, operation(), operation(path="/other/{id}", name="other", handler=fails)) as client:
        for path in ("/thing", "/thing", "/nowhere/1", "/nowhere/2"):
            await client.get(path)
        await client.post("/thing")
    assert s.value(metrics.API_REQUESTS, route="/thing", method="GET", status="204") == 2
    assert s.value(metrics.API_REQUESTS, route="none", method="GET", status="404") == 2
    assert s.value(metrics.API_REQUESTS, route="none", method="POST", status="405") == 1
    assert s.value(metrics.API_SECONDS, "_count", route="/thing", method="GET") == 2
    assert len(s.counters.requests) == 3


async def test_a_scrape_is_plain_text_that_parses_and_counts_itself(s: Scraped) -> None:
    s.sees(well(last_reconcile=run()), {"filling": 1})
    async with served(s) as client:
        await client.get("/metrics")
        answer = await client.get("/metrics")
        text = await answer.text()
    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    names = {family.name for family in text_string_to_metric_families(text)}
    assert {definition.name.removesuffix("_total") for definition in metrics.API} <= names
    assert 'lockstep_api_requests_total{method="GET",route="/metrics",status="200"} 1.0' in text


async def test_metrics_are_for_those_who_operate(s: Scraped) -> None:
    asked: list[Scope] = []

    class Gate(FakeGate):
        async def authorize(self, request: Any, scope: Scope) -> str:
            asked.append(scope)
            raise ProblemError(ProblemType.WRONG_SCOPE, "not you")

    async with served(s, gate=Gate()) as client:
        answer = await client.get("/metrics")
        assert answer.status == 403
        assert "lockstep_" not in await answer.text()
    assert asked == [Scope.OPERATE]


def test_before_the_first_look_only_what_the_api_knows_itself_is_told(s: Scraped) -> None:
    assert s.value(metrics.INDEX_AGE) == 1.5
    assert s.value(metrics.PART_UP, part="rows") is None
    assert s.value(metrics.STATUS_AGE) is None
    s.age.seconds = None
    assert s.value(metrics.INDEX_AGE) is None


def test_every_part_that_answers_has_its_samples(s: Scraped) -> None:
    s.sees(well(), {"filling": 1, "none": 1})
    assert s.value(metrics.STATUS_AGE) == 2
    assert s.value(metrics.PART_UP, part="slot") == 1
    assert s.value(metrics.POSTGRES_ROWS) == 5
    assert s.value(metrics.QDRANT_POINTS) == 4
    assert s.value(metrics.LAG_RECORDS, partition="1") == 2
    assert s.value(metrics.LAG_SECONDS) == 6
    assert s.value(metrics.GROUP_MEMBERS) == 1
    assert s.value(metrics.SLOT_ACTIVE) == 0
    assert s.value(metrics.SLOT_WAL_STATUS, status="extended") == 1
    assert s.value(metrics.SLOT_WAL_STATUS, status="lost") == 0
    assert s.value(metrics.WAL_HELD_BACK) == 4096
    assert s.value(metrics.SLOT_SAFE_WAL) == 7
    assert s.value(metrics.CONNECTOR_RUNNING) == 0  # its task has failed
    assert s.value(metrics.OPEN_DEAD_LETTERS) == 6
    assert s.value(metrics.COLLECTIONS, phase="filling") == 1


def test_a_part_that_cannot_be_asked_is_down_and_has_no_samples(s: Scraped) -> None:
    s.sees(NOTHING_KNOWN)
    parts = (*PARTS, "collections")
    assert [s.value(metrics.PART_UP, part=part) for part in parts] == [0] * len(parts)
    for definition in (
        metrics.POSTGRES_ROWS,
        metrics.QDRANT_POINTS,
        metrics.LAG_SECONDS,
        metrics.GROUP_MEMBERS,
        metrics.SLOT_ACTIVE,
        metrics.WAL_HELD_BACK,
        metrics.CONNECTOR_RUNNING,
        metrics.OPEN_DEAD_LETTERS,
    ):
        assert s.value(definition) is None


def test_drift_is_told_with_its_age_and_is_closed_by_a_repair(s: Scraped) -> None:
    s.sees(well(last_reconcile=run()))
    assert s.value(metrics.DRIFT, kind="missing") == 3
    assert s.value(metrics.DRIFT, kind="orphaned") == 0
    assert s.value(metrics.DRIFT_OPEN) == 4
    assert s.value(metrics.RECONCILE_AGE) == 60
    assert s.value(metrics.RECONCILE_FAILED) == 0
    s.sees(well(last_reconcile=run(repair=RepairReport(dry_run=True))))
    assert s.value(metrics.DRIFT_OPEN) == 4
    s.sees(well(last_reconcile=run(repair=RepairReport(unrepaired_count=1))))
    assert (s.value(metrics.DRIFT, kind="missing"), s.value(metrics.DRIFT_OPEN)) == (3, 1)
    s.sees(well(last_reconcile=run(report=None, error="qdrant is down")))
    assert (s.value(metrics.DRIFT_OPEN), s.value(metrics.RECONCILE_FAILED)) == (None, 1)
