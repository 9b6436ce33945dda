"""`GET /metrics` of the API: what it answered, and how the whole pipeline stood when it was last looked at."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Protocol

from aiohttp import hdrs, web
from prometheus_client import CollectorRegistry, GCCollector, ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric

from ops.api.app import Gate
from ops.api.boundary import CALLER
from ops.api.operation import Scope
from ops.api.request_counters import RequestCounters, counted
from ops.index_age import Age
from ops.reconcile.report import ReconcileRun
from ops.status.report import PARTS
from ops.status_watch import Look
from streams import metrics

METRICS_PAGE = "/metrics"
WAL_STATUSES = ("reserved", "extended", "unreserved", "lost")
DRIFTS = ("missing", "orphaned", "stale", "drifted", "unreadable")


class Watch(Protocol):
    """The status, as it was last looked at."""

    @property
    def latest(self) -> Look | None:
        """None before the first look."""
        ...


def add_metrics(app: web.Application, *, gate: Gate, counters: RequestCounters, age: Age, watch: Watch) -> None:
    """Count the application's answers, and serve the metrics to callers with the scope `operate`."""
    app.middlewares.insert(0, counted(counters))
    registry = CollectorRegistry()
    registry.register(ApiCollector(counters, age, watch))
    ProcessCollector(registry=registry)
    GCCollector(registry=registry)

    async def serve(request: web.Request) -> web.Response:
        request[CALLER] = await gate.authorize(request, Scope.OPERATE)
        encode, content_type = choose_encoder(request.headers.get(hdrs.ACCEPT, ""))
        return web.Response(body=encode(registry), headers={hdrs.CONTENT_TYPE: content_type})

    app.router.add_get(METRICS_PAGE, serve)


class ApiCollector:
    """Gives every metric of `streams.metrics.API`; one whose part could not be asked has no sample."""

    def __init__(
        self,
        counters: RequestCounters,
        age: Age,
        watch: Watch,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._counters = counters
        self._age = age
        self._watch = watch
        self._now = now

    def describe(self) -> list[Metric]:
        """Their names, for the registry."""
        return [definition.values([]) for definition in metrics.API]

    def collect(self) -> Iterator[Metric]:
        """One scrape."""
        counters, look = self._counters, self._watch.latest
        yield metrics.API_REQUESTS.values(counters.requests.items())
        yield metrics.API_SECONDS.distributions(counters.seconds.items())
        yield metrics.SEARCH_SECONDS.distributions(((mode,), spent) for mode, spent in counters.searches.items())
        yield metrics.SEARCH_FAILURES.values(((mode,), count) for mode, count in counters.failed_searches.items())
        yield metrics.INDEX_AGE.value(self._age.seconds)
        if look is not None:
            now = self._now()
            yield metrics.STATUS_AGE.value((now - look.status.at).total_seconds())
            yield from _parts(look)
            yield from _reconciliation(look.status.last_reconcile, now)


def _parts(look: Look) -> Iterator[Metric]:
    status = look.status
    up = {part: part not in status.unavailable for part in PARTS} | {"collections": look.phases is not None}
    yield metrics.PART_UP.values(((part,), answers) for part, answers in up.items())
    yield metrics.POSTGRES_ROWS.value(status.rows)
    yield metrics.QDRANT_POINTS.value(status.index.points if status.index else None)
    if lag := status.lag:
        yield metrics.LAG_RECORDS.values(((str(of.partition),), of.lag_records) for of in lag.partitions)
        waits = lag.oldest_waiting_at
        yield metrics.LAG_SECONDS.value((status.at - waits).total_seconds() if waits else 0)
    if group := status.group:
        yield metrics.GROUP_MEMBERS.value(len(group.members))
    if slot := status.slot:
        yield metrics.SLOT_ACTIVE.value(slot.active)
        yield metrics.SLOT_WAL_STATUS.values(((word,), float(word == slot.wal_status)) for word in WAL_STATUSES)
        yield metrics.WAL_HELD_BACK.value(slot.held_back_bytes)
        yield metrics.SLOT_SAFE_WAL.value(slot.safe_wal_bytes)
    if connector := status.connector:
        yield metrics.CONNECTOR_RUNNING.value(connector.running)
    yield metrics.OPEN_DEAD_LETTERS.value(status.open_dead_letters)
    yield metrics.COLLECTIONS.values(((phase,), count) for phase, count in (look.phases or {}).items())


def _reconciliation(run: ReconcileRun | None, now: datetime) -> Iterator[Metric]:
    if run is None:
        return
    yield metrics.RECONCILE_AGE.value((now - run.finished_at).total_seconds())
    yield metrics.RECONCILE_FAILED.value(run.error is not None)
    if (report := run.report) is None:
        return
    yield metrics.DRIFT.values(((kind,), getattr(report, kind).count) for kind in DRIFTS)
    repaired = run.repair is not None and not run.repair.dry_run
    yield metrics.DRIFT_OPEN.value(run.repair.unrepaired_count if run.repair and repaired else report.differences)
