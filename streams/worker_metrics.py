"""A worker's metrics, made of its state at each scrape: nothing but plain numbers is kept on the way of a record."""

from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, GCCollector, ProcessCollector
from prometheus_client.metrics_core import Metric

from streams import metrics
from streams.health import PARTS
from streams.worker_state import WorkerState


class WorkerCollector:
    """Gives every metric of `streams.metrics.WORKER`, in one state of the worker."""

    def __init__(self, state: Callable[[], WorkerState]) -> None:
        self._state = state

    def describe(self) -> list[Metric]:
        """Their names, for the registry: known without a state, which a worker does not have at its start."""
        return [definition.values([]) for definition in metrics.WORKER]

    def collect(self) -> Iterator[Metric]:
        """One scrape."""
        state = self._state()
        yield metrics.WORKER_INFO.values(
            [((state.worker, state.version, state.collection or "", state.recipe or ""), 1.0)]
        )
        yield metrics.WORKER_READY.value(state.unready_because is None)
        yield from _work(state)
        yield from _faults(state)
        yield metrics.TABLE_ENTRIES.value(state.table_entries)
        yield metrics.TABLE_RECOVERIES.value(state.table_recoveries)
        yield metrics.LATE_DELETES.value(state.late_deletes_waiting)
        yield metrics.ASSIGNED_LAG.values(
            ((str(lag.partition),), lag.lag_records) for lag in state.partitions if lag.lag_records is not None
        )
        yield metrics.ASSIGNED_AGE.values(
            ((str(lag.partition),), lag.lag_seconds) for lag in state.partitions if lag.lag_seconds is not None
        )


def worker_registry(state: Callable[[], WorkerState]) -> CollectorRegistry:
    """A registry of the worker's own, with what its process uses."""
    registry = CollectorRegistry()
    registry.register(WorkerCollector(state))
    ProcessCollector(registry=registry)
    GCCollector(registry=registry)
    return registry


def _work(state: WorkerState) -> Iterator[Metric]:
    counters = state.counters
    yield metrics.RECORDS.value(counters.records)
    yield metrics.CHANGES.values(
        ((action, operation.name.lower()), count) for (action, operation), count in counters.changes.items()
    )
    yield metrics.EMBEDDINGS_MADE.value(counters.embeddings_made)
    yield metrics.EMBEDDINGS_AVOIDED.value(counters.embeddings_avoided)
    yield metrics.BATCH_STAGE.distributions(((stage.value,), spent) for stage, spent in counters.stages.items())
    yield metrics.BATCH_SIZE.distributions([((), counters.batch_records)])
    yield metrics.COMMIT_TO_SEARCHABLE.distributions([((), counters.commit_to_searchable)])
    yield metrics.DEAD_LETTERS.values(((reason,), count) for reason, count in counters.dead_letters.items())
    yield metrics.EVENTS.values(((topic,), count) for topic, count in counters.events.items())


def _faults(state: WorkerState) -> Iterator[Metric]:
    health = state.health
    holding = health.holding()
    held = {holding[0]: holding[1]} if holding else {}
    yield metrics.RETRIES.values(health.retries.items())
    yield metrics.HELD.values(((part,), float(part in held)) for part in PARTS)
    yield metrics.HELD_FOR.values(((part,), held.get(part, 0.0)) for part in PARTS)
    yield metrics.HELD_SECONDS.values(((part,), seconds) for part, seconds in health.held_seconds().items())
