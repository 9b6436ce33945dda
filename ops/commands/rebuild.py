"""`lockstep rebuild` and `lockstep rollback`."""

import asyncio
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ops.memory import return_freed_memory
from ops.settings import load_settings
from ops.terminal import ExitCode, err, out, print_json

if TYPE_CHECKING:
    from ops.rebuild import Approve, RebuildPlan, RebuildReport
    from schemas.collection import Hnsw

DIFFERENCES = ("missing", "orphaned", "stale")
ADDRESS = r"https?://[^/\s]+"
NICE = 10
"""Workers and searches go first on a machine that they share with us."""


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(rebuild)
    app.command()(rollback)


def rebuild(
    model: Annotated[
        str | None, typer.Option(help="Another model; MODEL@256 cuts its vectors.", show_default=False)
    ] = None,
    recipe: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Another recipe, as JSON.", show_default=False)
    ] = None,
    hnsw: Annotated[
        str | None, typer.Option(metavar="m=32,ef_construct=256", help="Another index.", show_default=False)
    ] = None,
    target: Annotated[
        str | None, typer.Option(metavar="URL", help="Another Qdrant to fill, from this one.", show_default=False)
    ] = None,
    from_snapshot: Annotated[
        bool, typer.Option("--from-snapshot", help="Have Debezium read the rows that the topic has lost.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done.")] = False,
    no_swap: Annotated[bool, typer.Option("--no-swap", help="Fill and compare, and leave the alias.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON; needs --yes or --dry-run.")] = False,
) -> None:
    """Make the collection anew from the topic, and move the alias to it.

    Workers go on writing and people searching meanwhile. Without --model and --recipe the recipe stays, and vectors
    are taken over. Killed, it goes on at its next run. The old collection is kept: lockstep rollback. Exit code 1: it
    is done, and rows differ, as in the collection before.

    Example: lockstep rebuild --model lockstep/all-minilm-l6-v2-int8@256 --yes
    """
    if model and recipe:
        raise typer.BadParameter("give --model or --recipe, not both")
    if target is not None and not re.fullmatch(ADDRESS, target):
        raise typer.BadParameter("write http://host:port", param_hint="--target")
    from ops.collections import read_recipe
    from ops.rebuild import rebuild as run

    rebuilding = run(
        load_settings(),
        model=model,
        recipe=read_recipe(recipe) if recipe else None,
        hnsw=_hnsw(hnsw) if hnsw else None,
        target_url=target,
        from_snapshot=from_snapshot,
        swap=not no_swap,
        approve=_approval(dry_run=dry_run, yes=yes, json=json),
        say=_say,
    )
    os.nice(NICE)
    return_freed_memory()
    _report(asyncio.run(rebuilding), dry_run=dry_run, json=json)


def rollback(
    to: Annotated[
        str | None, typer.Option(metavar="NAME", help="Another one than the last.", show_default=False)
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON; needs --yes or --dry-run.")] = False,
) -> None:
    """Bring the collection that was live before up to date, and move the alias back to it.

    Example: lockstep rollback --yes
    """
    from ops.rebuild import rollback as run

    approve = _approval(dry_run=dry_run, yes=yes, json=json)
    os.nice(NICE)
    _report(asyncio.run(run(load_settings(), to, approve=approve, say=_say)), dry_run=dry_run, json=json)


def _hnsw(text: str) -> "Hnsw":
    from pydantic import ValidationError

    from schemas.collection import Hnsw

    try:
        return Hnsw.model_validate(dict(part.split("=", 1) for part in text.split(",")))
    except (ValueError, ValidationError) as error:
        raise typer.BadParameter(
            "write m=32,ef_construct=256, or one of the two; m is 4 to 256, ef_construct 4 to 10000",
            param_hint="--hnsw",
        ) from error


def _approval(*, dry_run: bool, yes: bool, json: bool) -> "Approve":
    """Print the plan, and ask where nobody has said yes."""
    if json and not (yes or dry_run):
        raise typer.BadParameter("--json cannot ask: give --yes too")

    def approve(plan: "RebuildPlan") -> bool:
        if dry_run and json:
            print_json(_plan_as_json(plan))
        elif not json:
            for line in plan_lines(plan):
                out.print(line, soft_wrap=True)
        return not dry_run and (yes or typer.confirm("Go on?"))

    return approve


def _say(line: str) -> None:
    err.print(line, style="dim", markup=False)


def plan_lines(plan: "RebuildPlan") -> list[str]:
    """The plan in words."""
    recipe = plan.target.recipe
    made = "is made" if plan.creates else "is there already, and is brought up to date"
    lines = [f"{plan.target.name} {made}: {recipe.model}, {recipe.dimensions} dimensions"]
    if plan.replaces:
        lines.append(f"{plan.replaces} is live, with {plan.points:,} points, and is kept")
    vectors = f"taken over from {plan.donor} where the text is the same" if plan.donor else "made anew"
    return [*lines, f"vectors are {vectors}"]


def _plan_as_json(plan: "RebuildPlan") -> dict[str, Any]:
    return {
        "collection": plan.target.name,
        "creates": plan.creates,
        "moves": plan.moves,
        "replaces": plan.replaces,
        "donor": plan.donor,
        "hnsw": plan.hnsw.model_dump(),
        "recipe": plan.target.recipe.model_dump(mode="json"),
    }


def _report(report: "RebuildReport | None", *, dry_run: bool, json: bool) -> None:
    if report is None:
        if dry_run:
            return
        raise typer.Abort
    if json:
        print_json(_as_json(report))
    else:
        _print(report)
    if report.verification and not report.verification.target.in_sync:
        raise typer.Exit(ExitCode.FOUND_WRONG)


def _as_json(report: "RebuildReport") -> dict[str, Any]:
    p, found = report.progress, report.verification
    differences = {kind: getattr(found.target, kind).count for kind in DIFFERENCES} if found else None
    return {
        "collection": report.collection,
        "replaced": report.replaced,
        "moved": report.moved,
        "records": p.records,
        "keys": p.keys,
        "reused": p.reused,
        "embedded": p.embedded,
        "right": p.right,
        "refused": p.refused,
        "undecodable": report.undecodable,
        "rows": found.target.rows if found else None,
        "points": found.target.points if found else None,
        "differences": differences,
        "overlap": found.overlap if found else None,
        "seconds": report.seconds,
    }


def _print(report: "RebuildReport") -> None:
    p, found = report.progress, report.verification
    out.print(f"{p.records:,} records, {p.keys:,} keys: {p.reused:,} vectors taken over, {p.embedded:,} embedded")
    if p.right:
        out.print(f"{p.right:,} points were right already")
    if report.undecodable:
        out.print(f"{report.undecodable:,} records passed over: they stand in the dead-letter topic", soft_wrap=True)
    if found:
        differences = ", ".join(f"{getattr(found.target, kind).count:,} {kind}" for kind in DIFFERENCES)
        out.print(f"{found.target.rows:,} rows in Postgres, {found.target.points:,} points: {differences}")
        if found.overlap is not None:
            out.print(f"searches give {100 * found.overlap:.0f} % of the old collection's hits")
    moved = f"live, in the place of {report.replaced}" if report.moved and report.replaced else "live"
    out.print(f"{report.collection} is {moved if report.moved else 'filled'}, {report.seconds} s", soft_wrap=True)
