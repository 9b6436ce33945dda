"""Every metric of Lockstep: name, labels, buckets and meaning. Pages, dashboards and alerts use no other names.

`docs/metrics.md` explains them to people; a test holds the two together.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from streams.distribution import Distribution

Labels = tuple[str, ...]
"""The values of a metric's labels, in the order of their names."""


class Kind(StrEnum):
    """What a metric's value does."""

    COUNTER = "counter"
    """It only grows, from nothing at each start of the process."""
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """One metric. Its name says its unit; no label holds what a row, an error's text or a caller may choose freely."""

    name: str
    kind: Kind
    meaning: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()

    def values(self, values: Iterable[tuple[Labels, float]]) -> Metric:
        """A counter or gauge with these values, as a collector gives it."""
        family = CounterMetricFamily if self.kind is Kind.COUNTER else GaugeMetricFamily
        made = family(self.name, self.meaning, labels=self.labels)
        for labels, value in values:
            made.add_metric(labels, value)
        return made

    def value(self, value: float | None) -> Metric:
        """A counter or gauge without labels; without a sample when its value is not known."""
        return self.values([] if value is None else [((), float(value))])

    def distributions(self, values: Iterable[tuple[Labels, Distribution]]) -> Metric:
        """A histogram with these distributions, as a collector gives it."""
        made = HistogramMetricFamily(self.name, self.meaning, labels=self.labels)
        for labels, value in values:
            made.add_metric(labels, value.cumulative(), value.total)
        return made


def _counter(name: str, meaning: str, *labels: str) -> Definition:
    return Definition(name=name, kind=Kind.COUNTER, meaning=meaning, labels=labels)


def _gauge(name: str, meaning: str, *labels: str) -> Definition:
    return Definition(name=name, kind=Kind.GAUGE, meaning=meaning, labels=labels)


def _histogram(name: str, meaning: str, buckets: tuple[float, ...], *labels: str) -> Definition:
    return Definition(name=name, kind=Kind.HISTOGRAM, meaning=meaning, labels=labels, buckets=buckets)


STAGE_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
ANSWER_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15)
AGE_SECONDS = (0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10, 30, 60, 300, 1800, 3600)
BATCH_RECORDS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)

# The worker's: http://<worker>/metrics

WORKER_INFO = _gauge(
    "lockstep_worker_info",
    "Always 1: who the worker is, and the collection and recipe that it last looked up.",
    "worker",
    "version",
    "collection",
    "recipe",
)
WORKER_READY = _gauge("lockstep_worker_ready", "1 while the worker has its partitions and table and holds nothing.")
RECORDS = _counter("lockstep_records_total", "Records that were brought to their effect.")
CHANGES = _counter(
    "lockstep_changes_total", "Changes, by what became of them and what happened to the row.", "action", "operation"
)
EMBEDDINGS_MADE = _counter("lockstep_embeddings_made_total", "Texts given to the model.")
EMBEDDINGS_AVOIDED = _counter("lockstep_embeddings_avoided_total", "Living rows brought up to date without the model.")
BATCH_STAGE = _histogram(
    "lockstep_batch_stage_seconds",
    "Time of a batch in a stage, all its attempts together, without the waits between them.",
    STAGE_SECONDS,
    "stage",
)
BATCH_SIZE = _histogram("lockstep_batch_records", "Records of a batch.", BATCH_RECORDS)
COMMIT_TO_SEARCHABLE = _histogram(
    "lockstep_commit_to_searchable_seconds",
    "From a live change in Postgres to Qdrant's acknowledgement; of a key's changes in a batch, the last.",
    AGE_SECONDS,
)
RETRIES = _counter(
    "lockstep_retries_total",
    "Attempts that failed and are repeated, by the part at fault; an outage does not pass by itself.",
    "part",
    "kind",
)
HELD = _gauge("lockstep_held", "1 while the worker's partitions are held because of this part.", "part")
HELD_FOR = _gauge(
    "lockstep_held_for_seconds",
    "How long the partitions have been held, without a break, because of this part.",
    "part",
)
HELD_SECONDS = _counter("lockstep_held_seconds_total", "Time in which the partitions were held, by the part.", "part")
DEAD_LETTERS = _counter("lockstep_dead_letters_total", "Records set aside, by the class of the error.", "reason")
EVENTS = _counter("lockstep_events_total", "Events published for other teams.", "topic")
TABLE_ENTRIES = _gauge("lockstep_table_entries", "Entries of the table in the worker's partitions, deleted keys too.")
TABLE_RECOVERIES = _counter(
    "lockstep_table_recoveries_total", "How often the table was recovered: at the start, and at each rebalance."
)
LATE_DELETES = _gauge("lockstep_late_deletes_waiting", "Deletes that will be repeated once.")
ASSIGNED_LAG = _gauge(
    "lockstep_assigned_lag_records", "Records that are not committed yet, by partition of this worker.", "partition"
)
ASSIGNED_AGE = _gauge(
    "lockstep_assigned_lag_seconds",
    "Age of the oldest record that is not committed yet, by partition of this worker; 0 without one.",
    "partition",
)

WORKER = (
    WORKER_INFO,
    WORKER_READY,
    RECORDS,
    CHANGES,
    EMBEDDINGS_MADE,
    EMBEDDINGS_AVOIDED,
    BATCH_STAGE,
    BATCH_SIZE,
    COMMIT_TO_SEARCHABLE,
    RETRIES,
    HELD,
    HELD_FOR,
    HELD_SECONDS,
    DEAD_LETTERS,
    EVENTS,
    TABLE_ENTRIES,
    TABLE_RECOVERIES,
    LATE_DELETES,
    ASSIGNED_LAG,
    ASSIGNED_AGE,
)

# The API's: http://<api>/metrics

API_REQUESTS = _counter("lockstep_api_requests_total", "Requests that were answered.", "route", "method", "status")
API_SECONDS = _histogram(
    "lockstep_api_request_seconds", "From a request's head to its answer.", ANSWER_SECONDS, "route", "method"
)
SEARCH_SECONDS = _histogram(
    "lockstep_search_seconds", "Time of a search that found its answer, the model included.", ANSWER_SECONDS, "mode"
)
SEARCH_FAILURES = _counter("lockstep_search_failures_total", "Searches that a part did not let through.", "mode")
INDEX_AGE = _gauge(
    "lockstep_index_age_seconds", "Every change that Postgres had committed this long ago is in the index."
)
PART_UP = _gauge("lockstep_part_up", "1 when the part of the status could be asked, 0 when it could not.", "part")
STATUS_AGE = _gauge("lockstep_status_age_seconds", "How long ago the parts were asked for all that follows.")
POSTGRES_ROWS = _gauge("lockstep_postgres_rows", "Rows in Postgres.")
QDRANT_POINTS = _gauge("lockstep_qdrant_points", "Points in the live collection.")
LAG_RECORDS = _gauge(
    "lockstep_lag_records", "Records that no worker has committed yet, by partition of the source topic.", "partition"
)
LAG_SECONDS = _gauge(
    "lockstep_lag_seconds", "How long the oldest of them has waited since it was published; 0 without."
)
GROUP_MEMBERS = _gauge("lockstep_group_members", "Workers in the group, as the broker sees it.")
SLOT_ACTIVE = _gauge("lockstep_slot_active", "1 while Debezium reads the replication slot.")
SLOT_WAL_STATUS = _gauge(
    "lockstep_slot_wal_status", "1 for Postgres's word on the slot's WAL: lost means that changes are gone.", "status"
)
WAL_HELD_BACK = _gauge("lockstep_wal_held_back_bytes", "WAL that Postgres keeps for the slot.")
SLOT_SAFE_WAL = _gauge(
    "lockstep_slot_safe_wal_bytes", "WAL that may be written until the slot is lost; none where nothing bounds it."
)
CONNECTOR_RUNNING = _gauge("lockstep_connector_running", "1 while the connector and every task of it run.")
OPEN_DEAD_LETTERS = _gauge("lockstep_open_dead_letters", "Dead letters that nobody has retried or discarded.")
COLLECTIONS = _gauge(
    "lockstep_collections",
    "Collections of the alias by how far a rebuild has come with them; none: no rebuild.",
    "phase",
)
DRIFT = _gauge("lockstep_drift_records", "What the last reconciliation found, by kind.", "kind")
DRIFT_OPEN = _gauge("lockstep_drift_open_records", "Differences that the last reconciliation left as they are.")
RECONCILE_AGE = _gauge("lockstep_reconcile_age_seconds", "How long ago the last reconciliation ended.")
RECONCILE_FAILED = _gauge("lockstep_reconcile_failed", "1 when the last reconciliation did not come to its end.")

API = (
    API_REQUESTS,
    API_SECONDS,
    SEARCH_SECONDS,
    SEARCH_FAILURES,
    INDEX_AGE,
    PART_UP,
    STATUS_AGE,
    POSTGRES_ROWS,
    QDRANT_POINTS,
    LAG_RECORDS,
    LAG_SECONDS,
    GROUP_MEMBERS,
    SLOT_ACTIVE,
    SLOT_WAL_STATUS,
    WAL_HELD_BACK,
    SLOT_SAFE_WAL,
    CONNECTOR_RUNNING,
    OPEN_DEAD_LETTERS,
    COLLECTIONS,
    DRIFT,
    DRIFT_OPEN,
    RECONCILE_AGE,
    RECONCILE_FAILED,
)
