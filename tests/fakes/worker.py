"""How a worker stands, made up."""

from typing import Any

from streams.counters import Counters
from streams.health import Health
from streams.lag import PartitionLag
from streams.recent import Activity
from streams.worker_state import WorkerState


def worker_state(**changes: Any) -> WorkerState:
    """A worker that gets on, with one partition; `changes` are fields of it."""
    values: dict[str, Any] = {
        "worker": "worker-1",
        "version": "1.2.3",
        "pid": 7,
        "uptime_seconds": 90.0,
        "unready_because": None,
        "collection": "products-1",
        "recipe": "abc",
        "partitions": [
            PartitionLag(partition=0, committed=7, high_watermark=10, lag_records=3, lag_seconds=1.5),
        ],
        "table_entries": 5,
        "table_recoveries": 1,
        "late_deletes_waiting": 2,
        "health": Health(),
        "counters": Counters(),
        "activity": Activity(),
    }
    return WorkerState(**(values | changes))
