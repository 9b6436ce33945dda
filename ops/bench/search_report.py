"""What searches cost: through the API and bare."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from statistics import quantiles
from typing import Any

from rich.table import Table


class Kind(StrEnum):
    """How the same search is asked."""

    BARE = "bare Qdrant"
    """One request to Qdrant with a ready vector."""
    AGAIN = "API, asked before"
    """Through the API, which has the text's vectors."""
    NEW = "API, new text"
    """Through the API, which embeds the text."""
    FRESH = "API, fresh"
    """Through the API, which has the vectors and reads the rows in Postgres."""


KINDS = tuple(Kind)


@dataclass(slots=True)
class Measured:
    """All rounds of one kind with one number of clients: milliseconds of every search, and what was spent on all."""

    taken_ms: list[float] = field(default_factory=list)
    seconds: float = 0.0
    api_cpu_ms: float = 0.0
    qdrant_cpu_ms: float = 0.0


@dataclass(slots=True)
class SearchBenchReport:
    """What was measured, by number of clients and kind."""

    measured: dict[tuple[int, Kind], Measured] = field(default_factory=lambda: defaultdict(Measured))

    def add(
        self,
        kind: Kind,
        clients: int,
        taken_ms: Sequence[float],
        *,
        seconds: float,
        api_cpu_ms: float,
        qdrant_cpu_ms: float,
    ) -> None:
        """One round of one kind."""
        found = self.measured[clients, kind]
        found.taken_ms += taken_ms
        found.seconds += seconds
        found.api_cpu_ms += api_cpu_ms
        found.qdrant_cpu_ms += qdrant_cpu_ms

    def figures(self) -> list[dict[str, Any]]:
        """For each number of clients and kind: latency, its ratio to that of the bare request, rate, processor time.

        Times are in milliseconds; `cpu_ms` is what the two processes spent on one search, which tells of the work even
        where others keep the machine busy.
        """
        figures = []
        for (clients, kind), found in sorted(
            self.measured.items(), key=lambda item: (item[0][0], KINDS.index(item[0][1]))
        ):
            p50, p99 = _percentiles(found.taken_ms)
            bare_p50, bare_p99 = _percentiles(self.measured[clients, Kind.BARE].taken_ms)
            searches = len(found.taken_ms)
            figures.append(
                {
                    "clients": clients,
                    "kind": str(kind),
                    "p50_ms": round(p50, 2),
                    "p99_ms": round(p99, 2),
                    "p50_ratio": round(p50 / bare_p50, 2),
                    "p99_ratio": round(p99 / bare_p99, 2),
                    "per_second": round(searches / found.seconds, 1),
                    "api_cpu_ms": round(found.api_cpu_ms / searches, 2),
                    "qdrant_cpu_ms": round(found.qdrant_cpu_ms / searches, 2),
                }
            )
        return figures

    def table(self) -> Table:
        """The figures for a terminal."""
        table = Table(box=None, pad_edge=False)
        table.add_column("clients", justify="right")
        table.add_column("search", no_wrap=True)
        for heading in ("p50 ms", "x", "p99 ms", "x", "a second", "API cpu", "Qdrant cpu"):
            table.add_column(heading, justify="right")
        for each in self.figures():
            table.add_row(
                str(each["clients"]) if each["kind"] == Kind.BARE else "",
                each["kind"],
                f"{each['p50_ms']:.1f}",
                f"{each['p50_ratio']:.1f}",
                f"{each['p99_ms']:.1f}",
                f"{each['p99_ratio']:.1f}",
                f"{each['per_second']:,.0f}",
                f"{each['api_cpu_ms']:.1f}",
                f"{each['qdrant_cpu_ms']:.1f}",
            )
        return table


def _percentiles(taken: Sequence[float]) -> tuple[float, float]:
    """The 50th and the 99th; of one value, that."""
    if len(taken) < 2:
        return taken[0], taken[0]
    cut = quantiles(taken, n=100, method="inclusive")
    return cut[49], cut[98]
