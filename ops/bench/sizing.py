"""What a catalogue of a size takes: memory, disk, workers and hours, from what was measured on smaller ones.

Every figure that is measured anew changes here alone. A test holds the tables of docs/scaling.md to what these
functions give; `python -m ops.bench.sizing` prints them.
"""

import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from streams.topics import PARTITIONS

# Measured on 2 cores with the stack without Docker, on the demo's catalogue (rows of 400 bytes, texts of 234
# characters). The figures are of 2026-11-21 where no other date stands.
EMBEDDINGS_PER_SECOND = 107.0
"""Of one process with 2 cores: `lockstep bench rebuild`, its second recipe."""
PAYLOAD_CHANGES_PER_SECOND = 1817.0
"""Price changes of one worker with the fan-out: `lockstep bench payload --records 12000`, 2026-11-22."""
WORKER_BYTES = 400e6
"""Of a worker with an empty table, its model loaded."""
ENTRY_BYTES_BEYOND_ROW = 320
"""Of a table's entry in memory: 1,124 MB at 1,000,000 keys, 478 MB at 106,000. `lockstep bench memory` measures it."""
START_SECONDS = 6.4
RECOVERY_SECONDS_AN_ENTRY = 6.8e-6
"""From a worker's start to its first change: 7.1 s at 106,000 keys, 13.2 s at 1,000,000."""
REBUILD_START_SECONDS = 3.0
READING_SECONDS_A_RECORD = 17.1 / 300_000
FILLING_SECONDS_A_ROW = 45.4 / 106_000
COMPARING_SECONDS_A_ROW = 15.7 / 106_000
"""Phases of `lockstep bench rebuild` with 106,000 rows and 300,000 records. Comparing is what reconcile does."""
REBUILD_FILE_BYTES_BEYOND_ROW = 306
"""706 MB of temporary file at 1,000,000 rows."""
QDRANT_OTHER_BYTES_A_POINT = 1800
"""Beside the dense vector: 88 MB at 5,000 points, 426 MB at 106,000, in Qdrant Edge with three payload indexes."""

# Bytes beyond those of the row, taken from the code's own records of the demo's catalogue.
RECORD_BYTES_BEYOND_ROW = 355
ENTRY_RECORD_BYTES_BEYOND_ROW = 115
PAYLOAD_BYTES_BEYOND_ROW = 500
EVENT_BYTES_BEYOND_ROWS = 900
"""Of `products.changed.v1`, which holds the row twice; its headers are part of it."""

# Documented by others.
VECTOR_MEMORY_FACTOR = 1.5
"""Qdrant, "Capacity Planning": vectors x dimensions x 4 bytes x 1.5, index and segments in the making included."""
DIRTY_FACTOR = 2
"""Kafka compacts a log once half of it is outdated (`min.cleanable.dirty.ratio` 0.5)."""

# Assumed: nothing of ours ran on these.
GPU_EMBEDDINGS_PER_SECOND = 2000.0
"""A seventh of what Sentence Transformers publishes for this model on a V100: 14,200 short sentences a second."""
CORE_HOUR_PRICE = 0.05
GPU_HOUR_PRICE = 1.00
MILLION_TOKENS_PRICE = 0.02
"""The price of `text-embedding-3-small` in OpenAI's documentation."""
CHARACTERS_A_TOKEN = 4
CHARACTERS_A_TEXT = 234

# Settings and declarations of ours.
CORES_A_WORKER = 2
JOIN_SECONDS = 3 * 45
"""A worker without partitions for three sessions ends itself (`ops/watchdog.py`)."""
CHANGES_KEPT_DAYS = 7
"""`min.compaction.lag.ms` of source topic and `products.changed.v1`."""
DAY_SECONDS = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """A catalogue and its changes; `row_bytes` is a row's mean size in JSON, `*_share` are between 0 and 1."""

    rows: int
    row_bytes: int = 400
    dimensions: int = 384
    changed_a_day_share: float = 0.1
    text_share: float = 0.08
    peak_factor: float = 10.0

    @property
    def changes_a_day(self) -> float:
        """Of all rows."""
        return self.rows * self.changed_a_day_share

    @property
    def peak_changes_per_second(self) -> float:
        """At the busiest time of a day."""
        return self.peak_factor * self.changes_a_day / DAY_SECONDS


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizing:
    """What a workload takes. Disk is that of one replica; multiply by the replication factor."""

    peak_changes_per_second: float
    workers: int
    one_worker_bytes: float
    each_worker_bytes: float
    one_worker_recovery_seconds: float
    each_worker_recovery_seconds: float
    source_disk_bytes: float
    changelog_disk_bytes: float
    events_disk_bytes: float
    qdrant_memory_bytes: float
    qdrant_disk_bytes: float
    embedding_seconds: float
    all_workers_embedding_seconds: float
    gpu_embedding_seconds: float
    rebuild_seconds: float
    rebuild_disk_bytes: float
    reconcile_seconds: float


def size(work: Workload) -> Sizing:
    """Extrapolate in proportion to rows, records and texts.

    "One worker" has every partition, "each" its share where `PARTITIONS` workers run. `workers` is how many it takes
    at the peak, and for tables to be read in time; above `PARTITIONS` it cannot be had.
    """
    rows = work.rows
    share = rows / PARTITIONS
    kept_changes = CHANGES_KEPT_DAYS * work.changes_a_day
    event_bytes = 2 * work.row_bytes + EVENT_BYTES_BEYOND_ROWS
    dense_bytes = rows * work.dimensions * 4 * VECTOR_MEMORY_FACTOR
    other_bytes = rows * QDRANT_OTHER_BYTES_A_POINT
    return Sizing(
        peak_changes_per_second=work.peak_changes_per_second,
        workers=max(_workers_for_changes(work), math.ceil(rows / most_entries_a_worker())),
        one_worker_bytes=_worker_bytes(rows, work.row_bytes),
        each_worker_bytes=_worker_bytes(share, work.row_bytes),
        one_worker_recovery_seconds=_recovery_seconds(rows),
        each_worker_recovery_seconds=_recovery_seconds(share),
        source_disk_bytes=(DIRTY_FACTOR * rows + kept_changes) * (work.row_bytes + RECORD_BYTES_BEYOND_ROW),
        changelog_disk_bytes=DIRTY_FACTOR * rows * (work.row_bytes + ENTRY_RECORD_BYTES_BEYOND_ROW),
        events_disk_bytes=(DIRTY_FACTOR * rows + kept_changes) * event_bytes,
        qdrant_memory_bytes=dense_bytes + other_bytes,
        qdrant_disk_bytes=dense_bytes + other_bytes + rows * (work.row_bytes + PAYLOAD_BYTES_BEYOND_ROW),
        embedding_seconds=rows / EMBEDDINGS_PER_SECOND,
        all_workers_embedding_seconds=rows / (PARTITIONS * EMBEDDINGS_PER_SECOND),
        gpu_embedding_seconds=rows / GPU_EMBEDDINGS_PER_SECOND,
        rebuild_seconds=rebuild_seconds(rows, round(rows + kept_changes)),
        rebuild_disk_bytes=rows * (work.row_bytes + REBUILD_FILE_BYTES_BEYOND_ROW),
        reconcile_seconds=rows * COMPARING_SECONDS_A_ROW,
    )


def most_entries_a_worker() -> int:
    """How large a table a worker can read before it takes itself for stuck."""
    return int((JOIN_SECONDS - START_SECONDS) / RECOVERY_SECONDS_AN_ENTRY)


def rebuild_seconds(rows: int, records: int) -> float:
    """A rebuild with the same recipe of so many rows, from a topic that holds so many records."""
    reading = records * READING_SECONDS_A_RECORD
    return REBUILD_START_SECONDS + reading + rows * (FILLING_SECONDS_A_ROW + COMPARING_SECONDS_A_ROW)


def million_texts() -> dict[str, tuple[float | None, float]]:
    """Hours (None where a provider decides) and price of embedding a million texts, by who does it."""
    cpu, gpu = (1e6 / rate / 3600 for rate in (EMBEDDINGS_PER_SECOND, GPU_EMBEDDINGS_PER_SECOND))
    tokens = CHARACTERS_A_TEXT / CHARACTERS_A_TOKEN
    return {
        f"a worker, {CORES_A_WORKER} cores": (cpu, cpu * CORES_A_WORKER * CORE_HOUR_PRICE),
        "a GPU": (gpu, gpu * GPU_HOUR_PRICE),
        "a remote service": (None, tokens * MILLION_TOKENS_PRICE),
    }


def _workers_for_changes(work: Workload) -> int:
    peak = work.peak_changes_per_second
    busy = peak * work.text_share / EMBEDDINGS_PER_SECOND + peak * (1 - work.text_share) / PAYLOAD_CHANGES_PER_SECOND
    return max(1, math.ceil(busy))


def _worker_bytes(entries: float, row_bytes: int) -> float:
    return WORKER_BYTES + entries * (row_bytes + ENTRY_BYTES_BEYOND_ROW)


def _recovery_seconds(entries: float) -> float:
    return START_SECONDS + entries * RECOVERY_SECONDS_AN_ENTRY


def table(works: Sequence[Workload]) -> str:
    """The sizes in Markdown, a column a workload."""
    sizes = [size(work) for work in works]
    lines: tuple[tuple[str, Callable[[Sizing], str]], ...] = (
        ("changes a second, at the peak", lambda s: _number(s.peak_changes_per_second)),
        ("workers", lambda s: _workers(s.workers)),
        ("memory of a worker that has every partition", lambda s: _bytes(s.one_worker_bytes)),
        (f"memory of each of {PARTITIONS}", lambda s: _bytes(s.each_worker_bytes)),
        ("start to first change, every partition", lambda s: _time(s.one_worker_recovery_seconds)),
        (f"start to first change, each of {PARTITIONS}", lambda s: _time(s.each_worker_recovery_seconds)),
        ("disk: source topic", lambda s: _bytes(s.source_disk_bytes)),
        ("disk: changelog", lambda s: _bytes(s.changelog_disk_bytes)),
        ("disk: `products.changed.v1`", lambda s: _bytes(s.events_disk_bytes)),
        ("Qdrant, memory", lambda s: _bytes(s.qdrant_memory_bytes)),
        ("Qdrant, disk", lambda s: _bytes(s.qdrant_disk_bytes)),
        (f"first embedding, {CORES_A_WORKER} cores", lambda s: _time(s.embedding_seconds)),
        (
            f"first embedding, {PARTITIONS} workers of {CORES_A_WORKER} cores",
            lambda s: _time(s.all_workers_embedding_seconds),
        ),
        ("first embedding, one GPU, assumed", lambda s: _time(s.gpu_embedding_seconds)),
        ("rebuild, same recipe", lambda s: _time(s.rebuild_seconds)),
        ("its temporary file", lambda s: _bytes(s.rebuild_disk_bytes)),
        ("reconcile", lambda s: _time(s.reconcile_seconds)),
    )
    header = [f"| rows | {' | '.join(f'{work.rows:,}' for work in works)} |", "|---" * (len(works) + 1) + "|"]
    return "\n".join(header + [f"| {name} | {' | '.join(map(text, sizes))} |" for name, text in lines])


def price_table() -> str:
    """What a million texts cost, in Markdown."""
    lines = [
        f"| {who} | {'as it allows' if hours is None else _time(hours * 3600)} | {price:.2f} |"
        for who, (hours, price) in million_texts().items()
    ]
    return "\n".join(["| a million texts | time | $ |", "|---|---|---|", *lines])


def _workers(count: int) -> str:
    return f"{count}" if count <= PARTITIONS else f"{count}: more than there can be"


def _number(value: float) -> str:
    """Two digits that count: these figures are no more exact."""
    rounded = float(f"{value:.2g}")
    return f"{rounded:,.0f}" if rounded >= 10 else f"{rounded:#.2g}"


def _bytes(count: float) -> str:
    for unit, name in ((1e12, "TB"), (1e9, "GB")):
        if count >= unit:
            return f"{_number(count / unit)} {name}"
    return f"{_number(count / 1e6)} MB"


def _time(seconds: float) -> str:
    for least, unit, name in ((2 * DAY_SECONDS, DAY_SECONDS, "days"), (5400, 3600, "h"), (120, 60, "min")):
        if seconds >= least:
            return f"{_number(seconds / unit)} {name}"
    return f"{_number(seconds)} s"


EXAMPLES = tuple(Workload(rows=rows) for rows in (100_000, 10_000_000, 1_000_000_000))

if __name__ == "__main__":
    works = [Workload(rows=int(rows.replace("_", ""))) for rows in sys.argv[1:]] or EXAMPLES
    sys.stdout.write(f"{table(works)}\n\n{price_table()}\n")
