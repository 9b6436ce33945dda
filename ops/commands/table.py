"""`lockstep table`: the worker's memory of what it has indexed."""

import asyncio
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from ops.settings import load_settings
from ops.terminal import err, out, print_json

if TYPE_CHECKING:
    from ops.table_rebuild import TableRebuild

commands = typer.Typer(name="table", help="The worker's table of what is indexed.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the group to `lockstep`."""
    app.add_typer(commands)


@commands.callback()
def _group() -> None:
    """Keep `rebuild` a command of the group, of which it is the only one."""


@commands.command()
def rebuild(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Read and count, and write nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON; needs --yes or --dry-run.")] = False,
) -> None:
    """Build the table again from the source topic, and put it in the place of its changelog.

    For a worker that cannot read the changelog. Stop every worker first. Qdrant and the committed offsets stay as they
    are; nothing is embedded. Exit code 3 while a worker runs.

    Example: lockstep table rebuild --yes
    """
    from ops.table_rebuild import rebuild_table

    if json and not (yes or dry_run):
        raise typer.BadParameter("--json cannot ask: give --yes too")
    if not (yes or dry_run):
        typer.confirm("Delete the table's changelog and write it anew?", abort=True)
    report = asyncio.run(rebuild_table(load_settings(), dry_run=dry_run, say=_say))
    if json:
        print_json(asdict(report))
    else:
        _print(report)


def _say(line: str) -> None:
    err.print(line, style="dim", markup=False)


def _print(report: "TableRebuild") -> None:
    out.print(f"{report.records:,} records read, {report.keys:,} keys, {report.deleted:,} of them deleted")
    if report.undecodable:
        out.print(f"{report.undecodable:,} records passed over: they stand in the dead-letter topic", soft_wrap=True)
    if report.incomplete:
        out.print(f"{report.incomplete:,} keys have had a record set aside: their next change is filled from Postgres")
    out.print(f"table {'rebuilt' if report.written else 'not touched'}, in {report.seconds} s")
