"""Metrics that a running stack gave, healthy and in faults, as series for `promtool test rules`."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

DATA = Path(__file__).parents[3] / "data" / "metrics"
HEALTHY = "healthy"
HEALTHY_MINUTES = 20
SCRAPED = ("worker-1", "worker-2", "api")
PILES_UP = ("lockstep_lag_records", "lockstep_assigned_lag_records")
"""What went up between the two looks goes on to do so: the changes kept coming."""
CLOCKS = (
    "lockstep_lag_seconds",
    "lockstep_assigned_lag_seconds",
    "lockstep_held_for_seconds",
    "lockstep_index_age_seconds",
    "lockstep_reconcile_age_seconds",
)
"""Ages: one that is older than the pause between the looks, and did not fall in it, runs on."""

Series = str


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A series at the two looks of a recording, `pause` seconds apart."""

    first: float
    second: float
    pause: float

    @property
    def a_minute(self) -> float:
        """By how much it grew."""
        return (self.second - self.first) / self.pause * 60


def read(state: str) -> dict[Series, Sample]:
    """A recording, by series."""
    head, *lines = (DATA / f"{state}.txt").read_text().splitlines()
    found = re.search(r"(\d+) seconds later", head)
    assert found
    rows = (line.rsplit(" ", 2) for line in lines)
    return {
        series: Sample(first=float(first), second=float(second), pause=float(found[1]))
        for series, first, second in rows
    }


def name_of(series: Series) -> str:
    """The metric of a series."""
    return series.partition("{")[0]


def fault(
    state: str, *, minutes: int, as_if: Mapping[Series, float] | None = None, silent: str | None = None
) -> Iterator[dict[str, str]]:
    """Twenty healthy minutes, then the state for so many: a value each minute.

    A counter goes on at the speed that was recorded, an age that ran between the looks runs on, what piled up piles up;
    everything else stays. `as_if` replaces values in the fault, by the beginning of a series. What is `silent` does not
    answer Prometheus.
    """
    before, after = read(HEALTHY), read(state)
    after = {series: sample for series, sample in after.items() if f'instance="{silent}"' not in series}
    for series in sorted({*before, *after}):
        counter = name_of(series).endswith(("_total", "_count", "_sum"))
        values, end = _nothing(HEALTHY_MINUTES), 0.0
        if sample := before.get(series):
            values, end = _healthy(series, sample, counter=counter)
        if (
            wanted := next((value for cut, value in (as_if or {}).items() if series.startswith(cut)), None)
        ) is not None:
            values = f"{values} {_line(wanted, 0, minutes)}"
        elif sample := after.get(series):
            values = f"{values} {_faulty(series, sample, end if counter else None, minutes)}"
        yield {"series": series, "values": values}
    for instance in SCRAPED:
        label = f'instance="{instance}"'
        job = "lockstep-api" if instance == "api" else "lockstep-worker"
        answers = any(label in series for series in after)
        yield {
            "series": f'up{{job="{job}",{label}}}',
            "values": f"{_line(1, 0, HEALTHY_MINUTES)} {_line(float(answers), 0, minutes)}",
        }


def _healthy(series: Series, sample: Sample, *, counter: bool) -> tuple[str, float]:
    """Its values, and the last of them."""
    slope = sample.a_minute if counter else _run(series, sample)
    return _line(sample.first, slope, HEALTHY_MINUTES), sample.first + slope * HEALTHY_MINUTES


def _faulty(series: Series, sample: Sample, end: float | None, minutes: int) -> str:
    if end is not None:
        return _line(end, sample.a_minute, minutes)
    if name_of(series) in PILES_UP:
        return _line(sample.second, max(0.0, sample.a_minute), minutes)
    return _line(sample.second, _run(series, sample), minutes)


def _run(series: Series, sample: Sample) -> float:
    """How fast a gauge goes on, a minute."""
    runs = name_of(series) in CLOCKS and sample.second >= sample.first and sample.second > sample.pause
    return 60.0 if runs else 0.0


def _line(start: float, slope: float, minutes: int) -> str:
    """A value for each minute, the first and the last included."""
    return f"{start:.6g}+{slope:.6g}x{minutes}"


def _nothing(minutes: int) -> str:
    return f"_x{minutes + 1}"
