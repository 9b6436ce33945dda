"""`lockstep demo`: its story, rows for the catalogue from a file or made up, and the example subscribers."""

import asyncio
import sys
from collections.abc import Iterable
from decimal import Decimal, InvalidOperation
from itertools import islice
from pathlib import Path
from typing import Annotated

import orjson
import typer
from rich.table import Table

from connectors.postgres import COPY_BATCH_ROWS, DRAFT_COLUMNS, Postgres, ProductDraft
from ops.demo.catalogue import generate_products
from ops.demo.catalogue_file import Refused, read_catalogue
from ops.demo.catalogue_row import ColumnMap
from ops.demo.loader import LoadReport, NoSink, load
from ops.demo.progress import progress
from ops.settings import load_settings
from ops.terminal import ExitCode, err, out, print_json
from schemas.product import price_text

EMBEDDING_NOW = "a running worker embeds them now, and `lockstep reconcile` waits for it"

commands = typer.Typer(name="demo")


def register(app: typer.Typer) -> None:
    """Add the group to `lockstep`."""
    app.add_typer(commands, short_help="See Lockstep at work, or fill the catalogue to try it yourself.")


@commands.callback(invoke_without_command=True)
def demo(
    context: typer.Context,
    compose: Annotated[
        bool, typer.Option("--compose", help="On containers by docker-compose.yml, from a checkout of the repository.")
    ] = False,
) -> None:
    """Tell the whole story: start everything, load a catalogue, search and change it, kill a worker, compare, stop.

    The figures go to demo-report.json in LOCKSTEP_HOME. Exit code 1 if anything was not as it should be. With --compose
    all runs in containers of its own, beside those that run already.

    Example: lockstep demo
    """
    if context.invoked_subcommand is None:
        from ops.commands.demo_story import tell

        tell(load_settings(), compose=compose)


@commands.command()
def subscribers() -> None:
    """Run two example subscribers of the worker's events until Ctrl-C, each with a group and offsets of its own.

    price-drops tells of prices that fall by a tenth or more within an hour. audit-trail keeps every change once, in
    subscribers/audit-trail.db in LOCKSTEP_HOME. They go on where they were. Exit code 1 if one of them ends by itself.

    Example: lockstep demo subscribers
    """
    from ops.commands.demo_subscribers import watch

    watch(load_settings())


@commands.command("load")
def load_file(
    file: Annotated[Path, typer.Argument(help="CSV or JSON lines, gzipped or not.")],
    mapping: Annotated[
        list[str] | None, typer.Option("--map", metavar="COLUMN=FIELD", help="Which field feeds a column.")
    ] = None,
    scale: Annotated[str | None, typer.Option(metavar="price=FACTOR", help="Multiply prices: 0.01 for cents.")] = None,
    strip_html: Annotated[bool, typer.Option("--strip-html", help="Remove tags and decode entities in texts.")] = False,
    update: Annotated[
        bool, typer.Option("--update", help="Bring rows that exist to the file's; else they stay.")
    ] = False,
    batch_size: Annotated[int, typer.Option(min=1, max=100_000, help="Rows in one transaction.")] = 2000,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Read and check the file; write nothing.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Load a catalogue file into the table.

    Columns: article_id, name (both required), description, product_type, product_group, color, department,
    index_name, image_url, price. The H&M articles.csv is known without a map. Bad rows are refused by line number on
    stderr, without stopping; exit code 1 if there were any.

    Example: lockstep demo load shop.csv --map article_id=sku --map name=title --map price=cents --scale price=0.01
    """
    columns = ColumnMap(fields=_mapping(mapping or []), scale=_scale(scale), strip_html=strip_html)
    size_bytes = file.stat().st_size if file.is_file() else 0
    report = asyncio.run(_load(file, size_bytes, columns, batch_size=batch_size, update=update, dry_run=dry_run))
    if json:
        stored = report.stored
        print_json(
            {
                "read": report.read,
                "inserted": stored.inserted,
                "updated": stored.updated,
                "unchanged": stored.unchanged,
                "refused": report.refused,
                "reasons": report.reasons,
                "dry_run": dry_run,
            }
        )
    else:
        _print_report(report, dry_run)
    if report.refused:
        raise typer.Exit(ExitCode.FOUND_WRONG)


@commands.command()
def generate(
    count: Annotated[
        int, typer.Argument(min=0, help="How many rows; 106000 is the size of the catalogue it resembles.")
    ],
    seed: Annotated[int, typer.Option(help="The same seed gives the same rows.")] = 1,
    start: Annotated[int, typer.Option(min=0, help="Leave out the catalogue's first rows.")] = 0,
    load: Annotated[bool, typer.Option("--load", help="Write to Postgres; else JSON lines go to stdout.")] = False,
) -> None:
    """Make up a fashion catalogue, the same for the same seed.

    Example: lockstep demo generate 106000 --load
    """
    rows = generate_products(count, seed, start)
    if load:
        out.print(f"{asyncio.run(_copy(rows, count)):,} rows loaded; {EMBEDDING_NOW}")
        return
    for draft in rows:
        values = {column: getattr(draft, column) for column in DRAFT_COLUMNS} | {"price": price_text(draft.price)}
        sys.stdout.buffer.write(orjson.dumps(values, option=orjson.OPT_APPEND_NEWLINE))


async def _load(
    file: Path, size_bytes: int, columns: ColumnMap, *, batch_size: int, update: bool, dry_run: bool
) -> LoadReport:
    rows = read_catalogue(file, columns)

    def refuse(row: Refused) -> None:
        err.print(f"line {row.line} refused: {row.reason}", soft_wrap=True, markup=False)

    with progress(err, f"loading {file.name}", size_bytes) as report_progress:
        if dry_run:
            return await load(
                rows, NoSink(), batch_size=batch_size, update=update, on_refused=refuse, on_progress=report_progress
            )
        async with await Postgres.connect(load_settings().postgres.dsn.get_secret_value()) as postgres:
            return await load(
                rows, postgres, batch_size=batch_size, update=update, on_refused=refuse, on_progress=report_progress
            )


async def _copy(rows: Iterable[ProductDraft], count: int) -> int:
    remaining = iter(rows)
    copied = 0
    async with await Postgres.connect(load_settings().postgres.dsn.get_secret_value()) as postgres:
        with progress(err, "loading made-up rows", count) as report:
            while batch := list(islice(remaining, COPY_BATCH_ROWS)):
                copied += await postgres.copy_products(batch)
                report(copied, copied)
    return copied


def _mapping(pairs: list[str]) -> dict[str, str]:
    mapping = {}
    for pair in pairs:
        column, separator, field = pair.partition("=")
        if not (separator and field) or column not in DRAFT_COLUMNS:
            raise typer.BadParameter(f"--map {pair}: write COLUMN=FIELD, with one of {', '.join(DRAFT_COLUMNS)}")
        mapping[column] = field
    return mapping


def _scale(pair: str | None) -> Decimal:
    if pair is None:
        return Decimal(1)
    column, _, number = pair.partition("=")
    try:
        factor = Decimal(number)
    except InvalidOperation:
        factor = Decimal(0)
    if column != "price" or not (factor.is_finite() and factor > 0):
        raise typer.BadParameter(f"--scale {pair}: write price=FACTOR, with a factor above 0, such as price=0.01")
    return factor


def _print_report(report: LoadReport, dry_run: bool) -> None:
    table = Table("rows", "number", box=None, pad_edge=False)
    table.columns[1].justify = "right"
    table.add_row("read", f"{report.read:,}")
    table.add_row("acceptable" if dry_run else "inserted", f"{report.stored.inserted:,}")
    if not dry_run:
        table.add_row("updated", f"{report.stored.updated:,}")
        table.add_row("unchanged", f"{report.stored.unchanged:,}")
    table.add_row("refused", f"{report.refused:,}")
    for reason, count in report.reasons.most_common():
        table.add_row(f"  {reason}", f"{count:,}")
    out.print(table)
    if report.stored.inserted and not dry_run:
        out.print(EMBEDDING_NOW)
