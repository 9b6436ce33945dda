"""Ratios from run to run: one line of JSON each in a file, and the latest beside those before them."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import orjson
from rich.table import Table

from ops.bench.figures import BenchReport
from schemas.errors import StackError

SHOWN = 10
REVISION_LETTERS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What one run came to; `date` is ISO 8601 in UTC, `revision` is of the code, "" where nobody said."""

    date: str
    revision: str
    ratios: Mapping[str, float]
    machine: Mapping[str, Any]

    @classmethod
    def of(cls, report: BenchReport, revision: str) -> "Run":
        """The medians of a report, made now."""
        told = report.as_dict()
        return cls(
            date=told["date"],
            revision=revision,
            ratios={ratio["name"]: ratio["median"] for ratio in told["ratios"]},
            machine=told["machine"],
        )


def keep(path: Path, run: Run) -> list[Run]:
    """Append a run to a file, which is made where it does not exist; gives all that are in it, the oldest first.

    Lines that are no run, as one that was cut off, stay there and are passed over.

    Raises:
        StackError: The file cannot be read or written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a+b") as file:
            file.seek(0)
            content = file.read()
            start = b"\n" if content and not content.endswith(b"\n") else b""
            file.write(start + orjson.dumps(asdict(run)) + b"\n")
    except OSError as error:
        raise StackError(
            f"cannot keep the history in {path}: {error.strerror}", hint="give another --history"
        ) from error
    return [*(found for line in content.splitlines() if (found := _read(line))), run]


def _read(line: bytes) -> Run | None:
    try:
        return Run(**orjson.loads(line))
    except (orjson.JSONDecodeError, TypeError):
        return None


def table(runs: Sequence[Run]) -> Table:
    """The last ten runs, each ratio with its change against the median of all runs before it; 80 columns wide."""
    names = list(dict.fromkeys(name for run in runs[-SHOWN:] for name in run.ratios))
    shown = Table(box=None, pad_edge=False)
    shown.add_column("date", no_wrap=True)
    shown.add_column("revision", no_wrap=True)
    for name in names:
        shown.add_column(name, justify="right", overflow="fold")
    for number in range(max(0, len(runs) - SHOWN), len(runs)):
        run = runs[number]
        cells = (_cell(run, runs[:number], name) for name in names)
        shown.add_row(run.date[:10], run.revision[:REVISION_LETTERS], *cells)
    return shown


def _cell(run: Run, before: Sequence[Run], name: str) -> str:
    if name not in run.ratios:
        return ""
    value = run.ratios[name]
    former = [other.ratios[name] for other in before if name in other.ratios]
    if not former or not (usual := median(former)):
        return f"{value:.2f}"
    return f"{value:.2f} {100 * (value / usual - 1):+.0f} %"
