"""What the dashboard shows of a snapshot: the flow from Postgres to search, and the numbers around it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

from ops.api.dashboard_sampler import Snapshot
from ops.reconcile.report import ReconcileRun
from ops.status.limits import Level, worst
from ops.status.report import Line, SyncStatus, WorkerStatus
from ops.status.units import bytes_text, count_text, seconds_text

UNKNOWN = "\N{EN DASH}"

N = TypeVar("N", int, float)


@dataclass(frozen=True, slots=True, kw_only=True)
class Number:
    """A number in words, `UNKNOWN` for what could not be asked. `short` is what is measured."""

    short: str
    value: str
    more: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A station of the flow. `says` is what is wrong with it, empty while nothing is."""

    name: str
    does: str
    level: Level
    numbers: Sequence[Number]
    says: Sequence[Line] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """One kind of action: how many, and its share of all, from 0 to 1."""

    name: str
    count: int
    share: float


def flow(snapshot: Snapshot) -> list[Part]:
    """The stations in the order that a change passes them."""
    status = snapshot.status
    slot, lag, index, connector, work = status.slot, status.lag, status.index, status.connector, status.work
    workers = _worker_lines(status)
    in_postgres = ("wal", *(("rows",) if status.rows is None else ()))
    in_qdrant = ("index", "recipe", *(("rows",) if status.rows is not None else ()))
    return [
        _part(
            status,
            "Postgres",
            "the catalogue",
            in_postgres,
            _number("rows", status.rows, _count, more="estimated" if status.rows_estimated else ""),
            _number("WAL held back", slot.held_back_bytes if slot else None, bytes_text),
        ),
        _part(
            status,
            "Debezium",
            "captures changes",
            ("connector", "slot"),
            Number(short="connector", value=connector.state.lower() if connector else UNKNOWN),
            _number("not confirmed", slot.lag_bytes if slot else None, bytes_text),
        ),
        _part(
            status,
            "Kafka",
            "keeps their order",
            ("lag",),
            _number("lag, records", lag.lag_records if lag else None, _count),
            _number("records so far", sum(of.high_watermark for of in lag.partitions) if lag else None, _count),
        ),
        _part(
            status,
            "Workers",
            "embed and write",
            ("workers", "age", *(line.part for line in workers)),
            _number("in the group", len(status.group.members) if status.group else None, _count),
            _number("embedded", work.embeddings_made if work else None, _count),
        ),
        _part(
            status,
            "Qdrant",
            "holds the index",
            in_qdrant,
            _number("points", index.points if index else None, _count),
            Number(short="recipe", value=index.recipe[:8] if index else UNKNOWN),
        ),
        _part(
            status,
            "Search",
            "answers",
            ("index",),
            _number("behind, at most", snapshot.age_seconds, seconds_text),
            Number(short="alias", value=index.alias if index else UNKNOWN),
        ),
    ]


def workers(status: SyncStatus) -> list[tuple[WorkerStatus, Level]]:
    """Each worker whose page is known, and how it was judged."""
    return list(zip(status.workers, (line.level for line in _worker_lines(status)), strict=True))


def actions(status: SyncStatus) -> list[Share]:
    """What became of the changes, always in the same order; empty while no worker tells."""
    counted = status.work.actions if status.work else {}
    whole = sum(counted.values())
    return [
        Share(name=name.replace("_", " "), count=count, share=count / whole if whole else 0)
        for name, count in sorted(counted.items())
    ]


def tiles(snapshot: Snapshot) -> list[Number]:
    """The numbers that tell how well it works, rather than where."""
    work = snapshot.status.work
    asked = work.embeddings_made + work.embeddings_avoided if work else 0
    return [
        Number(
            short="Embeddings avoided",
            value=f"{100 * work.embeddings_avoided / asked:.0f} %" if work and asked else UNKNOWN,
            more=f"{work.embeddings_avoided:,} of {count_text(asked, 'living row')}" if work else "no worker tells",
        ),
        _drift(snapshot.status.last_reconcile, snapshot.status),
        _number("Table entries", work.table_entries if work else None, _count, more="what the workers know as indexed"),
        _number("Dead letters", snapshot.status.open_dead_letters, _count, more="open"),
    ]


def _worker_lines(status: SyncStatus) -> Sequence[Line]:
    """A line for each worker, which follow that of their group; it bears the worker's name, whatever that is."""
    first = next((place for place, line in enumerate(status.lines, 1) if line.part == "workers"), 0)
    return status.lines[first : first + len(status.workers)]


def _drift(last: ReconcileRun | None, status: SyncStatus) -> Number:
    if last is None:
        return Number(short="Drift", value=UNKNOWN, more="never compared from here: lockstep reconcile")
    ago = f"{seconds_text((status.at - last.finished_at) / timedelta(seconds=1))} ago"
    if last.report is None or last.error is not None:
        return Number(short="Drift", value=UNKNOWN, more=f"the comparison {ago} did not come to its end")
    found = last.report.differences
    repaired = ", repaired" if found and last.good else ""
    compared = count_text(last.report.rows, "row")
    return Number(short="Drift", value=f"{found:,}", more=f"of {compared}{repaired}, {ago}")


def _part(status: SyncStatus, name: str, does: str, lines: Sequence[str], *numbers: Number) -> Part:
    found = [line for line in status.lines if line.part in lines]
    return Part(
        name=name,
        does=does,
        level=worst(*(line.level for line in found)),
        numbers=numbers,
        says=[line for line in found if line.level is not Level.GREEN],
    )


def _number(short: str, value: N | None, words: Callable[[N], str], *, more: str = "") -> Number:
    return Number(short=short, value=UNKNOWN if value is None else words(value), more=more)


def _count(value: int) -> str:
    return f"{value:,}"
