"""`lockstep replay`."""

import asyncio
import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from ops.settings import load_settings
from ops.terminal import ExitCode, err, out, print_json

if TYPE_CHECKING:
    from ops.replay import ReplayPlan, ReplayReport

BEGINNING = "beginning"
NICE = 10
"""Workers and searches go first on a machine that they share with us."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(no_args_is_help=True)(replay)


def replay(
    from_: Annotated[str | None, typer.Option("--from", metavar=BEGINNING, help="Replay everything.")] = None,
    from_offset: Annotated[
        str | None, typer.Option(metavar="P:O[,P:O…]", help="From these offsets of these partitions.")
    ] = None,
    from_time: Annotated[str | None, typer.Option(metavar="ISO", help="From this time on: 2026-11-20T10:00Z.")] = None,
    until: Annotated[str | None, typer.Option(metavar="ISO", help="Leave out what is of this time or later.")] = None,
    keys: Annotated[str | None, typer.Option(metavar="K[,K…]", help="These keys only.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Read, compare and count, and write nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON; needs --yes or --dry-run.")] = False,
) -> None:
    """Read old records again into the live collection.

    Restores points that are missing or behind, in their newest state; never moves a point back, revives no deleted
    row, publishes nothing. Runs beside workers. A time without a zone is taken as UTC.

    Example: lockstep replay --from beginning --dry-run
    """
    if sum(option is not None for option in (from_, from_offset, from_time)) != 1:
        raise typer.BadParameter("give one of --from beginning, --from-offset and --from-time")
    if json and not (yes or dry_run):
        raise typer.BadParameter("--json cannot ask: give --yes too")
    from ops.replay import ReplayRange
    from ops.replay import replay as run

    asked = ReplayRange(
        from_beginning=_beginning(from_),
        from_offsets=parse_offsets(from_offset),
        from_time=parse_moment(from_time, "--from-time"),
        until=parse_moment(until, "--until"),
        keys=frozenset(key for key in (keys or "").split(",") if key),
    )
    os.nice(NICE)

    def approve(plan: "ReplayPlan") -> bool:
        if not json:
            _print_plan(plan)
        return yes or dry_run or typer.confirm("Replay into the live collection?")

    now = datetime.now(UTC)
    report = asyncio.run(run(load_settings(), asked, now=now, dry_run=dry_run, approve=approve, say=_say))
    if report is None:
        raise typer.Abort
    if json:
        print_json(_as_json(report))
    else:
        _print(report)
    if report.progress.refused:
        raise typer.Exit(ExitCode.FOUND_WRONG)


def _say(line: str) -> None:
    err.print(line, style="dim", markup=False)


def _beginning(text: str | None) -> bool:
    if text not in (None, BEGINNING):
        raise typer.BadParameter(
            f"takes {BEGINNING} alone; --from-offset and --from-time name a place", param_hint="--from"
        )
    return text == BEGINNING


def parse_offsets(text: str | None) -> dict[int, int]:
    """Offsets by partition: `0:1200,3:0`. Raises `BadParameter`."""
    offsets: dict[int, int] = {}
    for pair in text.split(",") if text is not None else ():
        partition, _, offset = pair.partition(":")
        if not (partition.isdecimal() and offset.isdecimal()) or int(partition) in offsets:
            raise typer.BadParameter("write partition:offset, as in 0:1200,3:0", param_hint="--from-offset")
        offsets[int(partition)] = int(offset)
    return offsets


def parse_moment(text: str | None, option: str) -> datetime | None:
    """A time; without a zone it is UTC. Raises `BadParameter` for the option."""
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter("write a time as in 2026-11-20T10:00Z", param_hint=option) from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _as_json(report: "ReplayReport") -> dict[str, object]:
    p = report.progress
    return {
        "collection": report.collection,
        "dry_run": report.dry_run,
        "partitions": {str(n): [start, report.plan.ends[n]] for n, start in report.plan.starts.items()},
        "records": p.records,
        "keys": p.keys,
        "right": p.right,
        "missing": p.missing,
        "reused": p.reused,
        "embedded": p.embedded,
        "deleted": p.deleted,
        "refused": p.refused,
        "undecodable": report.undecodable,
        "seconds": report.seconds,
    }


def _print_plan(plan: "ReplayPlan") -> None:
    for number, start in plan.starts.items():
        out.print(f"partition {number}: offsets {start:,} to {plan.ends[number] - 1:,}")


def _print(report: "ReplayReport") -> None:
    p = report.progress
    would = "would be " if report.dry_run else ""
    written = p.reused + p.embedded
    out.print(f"{p.records:,} records, {p.keys:,} keys")
    out.print(f"{p.right:,} points are right or newer, {written:,} {would}written, {p.missing:,} of them missing")
    out.print(f"{p.embedded:,} texts {would}embedded, {p.deleted:,} deletes {would}repeated")
    if report.undecodable:
        out.print(f"{report.undecodable:,} records passed over: they stand in the dead-letter topic", soft_wrap=True)
    if p.refused:
        out.print(f"{p.refused:,} points refused: see the worker's dead letters", soft_wrap=True)
    out.print(
        f"{report.collection} {'not touched' if report.dry_run else 'replayed into'}, {report.seconds} s",
        soft_wrap=True,
    )
