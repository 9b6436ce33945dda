"""What the benchmark of rebuilds came to, and its ratios."""

from dataclasses import dataclass, field
from statistics import median, quantiles

from rich.table import Table

from ops.bench.rebuild_command import RebuildRun

FILLING = "filling"


@dataclass(slots=True, kw_only=True)
class SameRecipe:
    """A rebuild that takes all vectors over, beside the same reads and writes by the client alone, in turn."""

    rows: int
    records: int
    rebuilds: list[RebuildRun] = field(default_factory=list)
    copy_seconds: list[float] = field(default_factory=list)
    """Vectors read and points written; no condition on their versions."""
    guarded_copy_seconds: list[float] = field(default_factory=list)
    write_seconds: list[float] = field(default_factory=list)
    """Points written, their vectors in memory."""
    guarded_write_seconds: list[float] = field(default_factory=list)
    naive_records_per_second: list[float] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """Of a whole rebuild, from the start of the process to its end."""
        return median(run.seconds for run in self.rebuilds)

    @property
    def peak_megabytes(self) -> float | None:
        """The highest of the runs."""
        return max((run.peak_megabytes for run in self.rebuilds if run.peak_megabytes), default=None)

    @property
    def write_speed_ratio(self) -> float:
        """The speed of the phase that reads vectors and writes points, by that of the client alone, without guards."""
        return median(self.copy_seconds) / median(run.phases[FILLING] for run in self.rebuilds)

    @property
    def guarded_write_speed_ratio(self) -> float:
        """The same, by the client's speed with guards."""
        return median(self.guarded_copy_seconds) / median(run.phases[FILLING] for run in self.rebuilds)

    @property
    def whole_ratio(self) -> float:
        """The speed of everything, topic and comparison with Postgres too, by that of the client's copy alone."""
        return median(self.copy_seconds) / self.seconds

    @property
    def naive_seconds(self) -> float:
        """Of a naive replay of all records, extrapolated from as many as it came through."""
        return self.records / median(self.naive_records_per_second)

    @property
    def times_naive(self) -> float:
        """How many times faster than that."""
        return self.naive_seconds / self.seconds


@dataclass(slots=True, kw_only=True)
class NewModel:
    """A rebuild that embeds every row, beside the model alone on the same texts, in turn."""

    rows: int
    rebuilds: list[RebuildRun] = field(default_factory=list)
    raw_texts_per_second: list[float] = field(default_factory=list)

    @property
    def texts_per_second(self) -> float:
        """While it fills the collection: dense and sparse vectors made, points written."""
        return self.rows / median(run.phases[FILLING] for run in self.rebuilds)

    @property
    def embedding_ratio(self) -> float:
        """That speed by the model's."""
        return self.texts_per_second / median(self.raw_texts_per_second)

    @property
    def whole_ratio(self) -> float:
        """The same for the whole rebuild, process start and comparison too."""
        return self.rows / median(run.seconds for run in self.rebuilds) / median(self.raw_texts_per_second)


@dataclass(slots=True, kw_only=True)
class Live:
    """Milliseconds from commit to searchable."""

    idle: list[float] = field(default_factory=list)
    during: list[float] = field(default_factory=list)
    """While rebuilds with a new recipe ran."""


@dataclass(slots=True, kw_only=True)
class RebuildBenchReport:
    """All of it."""

    seed: int
    same: SameRecipe
    new: NewModel
    live: Live = field(default_factory=Live)


def percentile(values: list[float], percent: int) -> float:
    """The value that so many percent of the others do not exceed."""
    return values[0] if len(values) == 1 else quantiles(values, n=100, method="inclusive")[percent - 1]


def ratios(report: RebuildBenchReport) -> dict[str, float | None]:
    """The figures that goals are set for."""
    same, new, live = report.same, report.new, report.live
    return {
        "times_naive": round(same.times_naive, 1),
        "write_speed_ratio": round(same.write_speed_ratio, 3),
        "guarded_write_speed_ratio": round(same.guarded_write_speed_ratio, 3),
        "whole_ratio": round(same.whole_ratio, 3),
        "embedding_ratio": round(new.embedding_ratio, 3),
        "embedding_whole_ratio": round(new.whole_ratio, 3),
        "peak_megabytes": None if same.peak_megabytes is None else round(same.peak_megabytes),
        "idle_p50_ms": round(percentile(live.idle, 50)),
        "idle_p99_ms": round(percentile(live.idle, 99)),
        "live_p50_ms": round(percentile(live.during, 50)),
        "live_p99_ms": round(percentile(live.during, 99)),
    }


def tables(report: RebuildBenchReport) -> list[Table]:
    """The figures as a person reads them, medians, 80 columns wide."""
    return [_same_recipe(report.same), _new_model(report.new), _live(report.live)]


def _same_recipe(same: SameRecipe) -> Table:
    table = _table(f"the same recipe: {same.rows:,} rows, {same.records:,} records", "seconds", "ratio")
    table.add_row("rebuild, the whole command", f"{same.seconds:.1f}", "")
    for name in same.rebuilds[0].phases:
        seconds = median(run.phases.get(name, 0.0) for run in same.rebuilds)
        table.add_row(f"  {name}", f"{seconds:.1f}", "")
    copy, guarded = median(same.copy_seconds), median(same.guarded_copy_seconds)
    table.add_row("the client alone: vectors read, points written", f"{copy:.1f}", f"{same.write_speed_ratio:.2f}")
    table.add_row("  with guards", f"{guarded:.1f}", f"{same.guarded_write_speed_ratio:.2f}")
    table.add_row("  from memory, nothing read", f"{median(same.write_seconds):.1f}", "")
    table.add_row("  from memory, with guards", f"{median(same.guarded_write_seconds):.1f}", "")
    table.add_row("naive replay, extrapolated", f"{same.naive_seconds:,.0f}", f"{same.times_naive:.1f} x")
    peak = same.peak_megabytes
    table.add_row("peak memory of the rebuild, MB", "unknown" if peak is None else f"{peak:.0f}", "")
    return table


def _new_model(new: NewModel) -> Table:
    table = _table(f"another recipe: {new.rows:,} rows", "rows a second", "ratio")
    table.add_row("the dense model alone", f"{median(new.raw_texts_per_second):.0f}", "")
    table.add_row("rebuild, while it fills", f"{new.texts_per_second:.0f}", f"{new.embedding_ratio:.2f}")
    table.add_row("rebuild, the whole command", "", f"{new.whole_ratio:.2f}")
    return table


def _live(live: Live) -> Table:
    table = _table("commit to searchable, ms", "p50", "p99")
    for name, found in (("nothing beside", live.idle), ("during rebuilds", live.during)):
        table.add_row(f"{name}, {len(found):,} changes", f"{percentile(found, 50):.0f}", f"{percentile(found, 99):.0f}")
    return table


def _table(*columns: str) -> Table:
    first, *numbers = columns
    table = Table(first, box=None, pad_edge=False)
    for name in numbers:
        table.add_column(name, justify="right")
    return table
