"""How a worker stands at a moment: what its pages and its metrics show."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from streams.counters import Counters
from streams.health import Health
from streams.lag import PartitionLag
from streams.recent import Activity

RATES = ("records", "batches", "embeddings_made", "embeddings_avoided", "events", "dead_letters")


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerState:
    """Everything in it was at hand: to take it asks nobody, and never waits.

    `unready_because` is None while the worker gets on. `collection` and `recipe` are those last looked up, None before.
    """

    worker: str
    version: str
    pid: int
    uptime_seconds: float
    unready_because: str | None
    collection: str | None
    recipe: str | None
    partitions: Sequence[PartitionLag]
    table_entries: int
    table_recoveries: int
    late_deletes_waiting: int
    health: Health
    counters: Counters
    activity: Activity

    def as_dict(self) -> dict[str, Any]:
        """For the stats page."""
        health, activity = self.health, self.activity
        holding = health.holding()
        return {
            "worker": self.worker,
            "version": self.version,
            "pid": self.pid,
            "uptime_seconds": round(self.uptime_seconds, 1),
            "partitions": [lag.partition for lag in self.partitions],
            "unready_because": self.unready_because,
            "hint": health.held_hint,
            "held": {"part": holding[0], "seconds": round(holding[1], 1)} if holding else None,
            "retries": health.retries_by_part(),
            "last_errors": [error.as_dict() for error in health.errors.newest()],
            "collection": self.collection,
            "recipe": self.recipe,
            "table_entries": self.table_entries,
            "late_deletes_waiting": self.late_deletes_waiting,
            **self.counters.as_dict(),
            "lag": [asdict(lag) for lag in self.partitions],
            "rates_per_second": {name: round(getattr(activity, name), 2) for name in RATES},
            "rates_over_seconds": round(activity.seconds, 1),
            "batch_stage_seconds": {stage.value: round(spent, 5) for stage, spent in activity.stage_seconds.items()},
        }
