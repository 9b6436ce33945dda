"""`lockstep reconcile`."""

import asyncio
import re
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.padding import Padding
from rich.text import Text

from ops.settings import Settings, load_settings
from ops.terminal import ExitCode, err, harmless, out, print_error, print_json
from schemas.errors import LockstepError, SettingsError

if TYPE_CHECKING:
    from ops.reconcile.report import ReconcileReport, ReconcileRun, RepairReport
    from ops.reconcile.run import Asked

_INTERVAL = re.compile(r"(\d{1,5})([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_SHARE = re.compile(r"(\d{1,2}(?:\.\d{1,4})?|100)\s*%")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(reconcile)


def reconcile(
    fix: Annotated[bool, typer.Option("--fix", help="Repair what differs.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="With --fix: say what would be done.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    every: Annotated[str | None, typer.Option(metavar="24h", help="Again and again; 30m, 24h, 7d.")] = None,
    sample: Annotated[str | None, typer.Option(metavar="5%", help="Look at a part only, drawn at random.")] = None,
    vectors: Annotated[
        int, typer.Option(min=0, max=100_000, help="So many points are embedded anew, and their vectors compared.")
    ] = 100,
    json: Annotated[bool, typer.Option("--json", help="Print JSON; with --fix it needs --yes or --dry-run.")] = False,
) -> None:
    """Compare every row in Postgres with its point in Qdrant, and every point with its row; repair what differs.

    A difference counts when it is still there once the pipeline has caught up. Repairs go through the pipeline: rows
    are read again by Debezium, orphans get a tombstone. Exit code 1 when the two differ, and were not repaired.

    Example: lockstep reconcile --fix
    """
    if fix and not (yes or dry_run) and (json or every):
        raise typer.BadParameter(f"{'--json' if json else '--every'} cannot ask: give --yes too")
    if dry_run and not fix:
        raise typer.BadParameter("goes with --fix", param_hint="--dry-run")
    interval, share = _interval(every), _share(sample)
    from ops.reconcile.run import Asked

    asked = Asked(fix=fix, dry_run=dry_run, share=share, vectors=vectors)
    settings = load_settings()
    if interval is None:
        result = asyncio.run(_once(settings, asked, yes=yes, json=json))
        if not result.good:
            raise typer.Exit(ExitCode.FOUND_WRONG)
    else:
        asyncio.run(_again_and_again(settings, asked, interval, json=json))


async def _once(settings: Settings, asked: "Asked", *, yes: bool, json: bool) -> "ReconcileRun":
    from ops.reconcile.run import run

    shown = False

    def approve(report: "ReconcileReport", plan: "RepairReport") -> bool:
        nonlocal shown
        if yes:
            return True
        shown = True
        _print_report(report)
        _print_repair(plan)
        return typer.confirm("Repair?", err=True)

    result = await run(settings, asked, approve=approve, say=_say)
    if json:
        print_json(as_json(result))
    else:
        if result.report is not None and not shown:
            _print_report(result.report)
        if result.repair is not None and not (shown and result.repair.dry_run):
            _print_repair(result.repair)
    return result


async def _again_and_again(settings: Settings, asked: "Asked", interval: timedelta, *, json: bool) -> None:
    from ops.reconcile.schedule import every

    async def work() -> None:
        try:
            await _once(settings, asked, yes=True, json=json)
        except SettingsError:
            raise
        except LockstepError as error:  # a part is down: it may be up by the next time
            print_error(error)

    await every(interval, work)


def _interval(text: str | None) -> timedelta | None:
    if text is None:
        return None
    if not (found := _INTERVAL.fullmatch(text)) or int(found[1]) == 0:
        raise typer.BadParameter("write a time as in 30m, 24h or 7d", param_hint="--every")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


def _share(text: str | None) -> float | None:
    if text is None:
        return None
    if not (found := _SHARE.fullmatch(text.strip())) or float(found[1]) == 0:
        raise typer.BadParameter("write a share as in 5% or 0.5%", param_hint="--sample")
    share = float(found[1]) / 100
    return share if share < 1 else None


def as_json(result: "ReconcileRun") -> dict[str, Any]:
    """The report, flat, with `in_sync`, and under `repair` what was done."""
    told: dict[str, Any] = result.model_dump(mode="json")
    report = told.pop("report") or {}
    return report | {"in_sync": result.report is not None and result.report.in_sync, "good": result.good} | told


def _say(line: str) -> None:
    err.print(line, style="dim", markup=False)


def _print_report(report: "ReconcileReport") -> None:
    of_sample = "" if report.sample is None else f", a sample of {report.sample * 100:g}%"
    out.print(f"{report.rows:,} rows in Postgres{of_sample}")
    out.print(f"{report.points:,} points in {report.collection}{of_sample}")
    kinds = (
        ("missing", "rows without a point", report.missing),
        ("stale", "points that are not as their row", report.stale),
        ("orphaned", "points without a row", report.orphaned),
        ("drifted", f"of {report.vectors:,} vectors are not their text's", report.drifted),
        ("unreadable", "rows that cannot be indexed", report.unreadable),
    )
    for name, meaning, difference in kinds:
        out.print(f"{name:10} {difference.count:>9,}  {meaning}")
        if difference.examples:
            more = ", …" if difference.count > len(difference.examples) else ""
            examples = harmless(", ".join(difference.examples)) + more
            out.print(Padding(Text(examples, style="dim", overflow="fold"), (0, 0, 0, 22)))
    verdict = "in sync" if report.in_sync else "NOT in sync"
    out.print(f"{verdict}{of_sample}, compared in {report.seconds} s")


def _print_repair(repair: "RepairReport") -> None:
    would = "would be " if repair.dry_run else ""
    out.print(f"{repair.read_again:,} rows {would}read again by Debezium")
    if repair.disowned:
        out.print(f"{repair.disowned:,} points among them had provenance that was wrong")
    out.print(f"{repair.tombstones:,} orphans {would}removed by a tombstone, {repair.removed:,} by their id")
    if repair.came_back:
        out.print(f"{repair.came_back:,} orphans had their row again: read again too")
    if repair.dry_run:
        return
    for left in repair.unrepaired:
        place = f" ({left.dead_letter})" if left.dead_letter else ""
        out.print(Text(harmless(f"not repaired: {left.key}: {left.reason}{place}"), overflow="fold"))
    if repair.unrepaired_count > len(repair.unrepaired):
        out.print(f"and {repair.unrepaired_count - len(repair.unrepaired):,} more")
    if repair.unrepaired_count:
        out.print(f"{repair.unrepaired_count:,} NOT repaired, in {repair.seconds} s")
    else:
        out.print(f"repaired and looked at again, in {repair.seconds} s")
