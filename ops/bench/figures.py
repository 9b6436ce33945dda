"""What a scenario measured: figures and ratios of several rounds, for a terminal and for other programs."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import linear_regression, median
from typing import Any

from rich.table import Table

from ops.bench.machine import describe_machine


@dataclass(frozen=True, slots=True, kw_only=True)
class Rounds:
    """A value a round, at least one; `goal` is what it is meant to reach, as a reader writes it ("≥ 20")."""

    name: str
    values: tuple[float, ...]
    goal: str | None = None

    @property
    def median(self) -> float:
        """The middle of the rounds."""
        return median(self.values)

    @property
    def low(self) -> float:
        """The lowest round."""
        return min(self.values)

    @property
    def high(self) -> float:
        """The highest round."""
        return max(self.values)

    @property
    def spread(self) -> float:
        """From the lowest round to the highest, as a share of the median; 0 where that is 0."""
        return (self.high - self.low) / self.median if self.median else 0.0

    def as_dict(self) -> dict[str, Any]:
        """For JSON; without a goal, that is left out."""
        what = {
            "name": self.name,
            "median": _rounded(self.median),
            "low": _rounded(self.low),
            "high": _rounded(self.high),
            "spread": _rounded(self.spread),
            "values": [_rounded(value) for value in self.values],
        }
        return what if self.goal is None else what | {"goal": self.goal}


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure(Rounds):
    """One measured quantity."""

    unit: str

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return Rounds.as_dict(self) | {"unit": self.unit}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratio(Rounds):
    """One side over the other, taken in each round, in which they ran one after the other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchReport:
    """All that one run of a scenario measured."""

    scenario: str
    seed: int | None
    sizes: dict[str, int]
    figures: tuple[Figure, ...]
    ratios: tuple[Ratio, ...]
    notes: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """For JSON, with the machine, the versions and the time in UTC."""
        return {
            "scenario": self.scenario,
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": describe_machine(),
            "seed": self.seed,
            "sizes": self.sizes,
            "figures": [figure.as_dict() for figure in self.figures],
            "ratios": [ratio.as_dict() for ratio in self.ratios],
            "notes": list(self.notes),
        }

    def tables(self) -> list[Table]:
        """Figures, ratios and notes for a terminal of 80 columns; what is empty is left out."""
        sizes = ", ".join(f"{count:,} {what}" for what, count in self.sizes.items())
        tables = []
        if self.figures:
            tables.append(_table(f"{self.scenario}: {sizes}", self.figures))
        if self.ratios:
            tables.append(_table("ratio", self.ratios))
        if self.notes:
            notes = Table(box=None, show_header=False, pad_edge=False)
            for note in self.notes:
                notes.add_row(note)
            tables.append(notes)
        return tables


def exponent(sizes: Sequence[float], values: Sequence[float]) -> float:
    """How a cost grows: k, where the cost goes with the k-th power of the size, by least squares over the logarithms.

    Raises:
        ValueError: There are fewer than two different sizes, or one that is not above 0.
    """
    return linear_regression([math.log(size) for size in sizes], [math.log(value) for value in values]).slope


def _table(heading: str, rows: Sequence[Rounds]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column(heading, overflow="fold")
    for name in ("median", "low", "high"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("unit" if isinstance(rows[0], Figure) else "", no_wrap=True)
    goals = any(row.goal for row in rows)
    if goals:
        table.add_column("goal", no_wrap=True)
    for row in rows:
        numbers = (_text(value) for value in (row.median, row.low, row.high))
        table.add_row(
            row.name, *numbers, row.unit if isinstance(row, Figure) else "", *([row.goal or ""] if goals else ())
        )
    return table


def _rounded(value: float) -> float:
    """Six digits that count, and whole numbers whole."""
    return value if float(value).is_integer() else float(f"{value:.6g}")


def _text(value: float) -> str:
    if float(value).is_integer() or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:,.1f}" if abs(value) >= 10 else f"{value:.2f}"
