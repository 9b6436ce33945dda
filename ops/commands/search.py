"""`lockstep search`."""

import asyncio
from decimal import Decimal
from typing import Annotated

import typer
from rich.table import Table

from ops.settings import Settings, load_settings
from ops.terminal import err, out, print_json
from schemas.search import Filters, Hit, SearchMode, SearchQuery


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(no_args_is_help=True)(search)


def search(
    text: Annotated[str, typer.Argument(help="What to look for.", show_default=False)],
    mode: Annotated[SearchMode, typer.Option(help="By meaning, by words, or both fused.")] = SearchMode.HYBRID,
    color: Annotated[str | None, typer.Option(help="Exactly as in the catalogue: Black.", show_default=False)] = None,
    department: Annotated[str | None, typer.Option(help="Exactly as in the catalogue.", show_default=False)] = None,
    product_type: Annotated[
        str | None, typer.Option(help="Exactly as in the catalogue: T-shirt.", show_default=False)
    ] = None,
    product_group: Annotated[str | None, typer.Option(help="Exactly as in the catalogue.", show_default=False)] = None,
    index_name: Annotated[
        str | None, typer.Option(help="Exactly as in the catalogue: Ladieswear.", show_default=False)
    ] = None,
    price_min: Annotated[float | None, typer.Option(min=0, help="Inclusive.", show_default=False)] = None,
    price_max: Annotated[float | None, typer.Option(min=0, help="Inclusive.", show_default=False)] = None,
    limit: Annotated[int, typer.Option(min=1, max=100)] = 10,
    offset: Annotated[int, typer.Option(min=0, max=10_000)] = 0,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Search the products in Qdrant.

    Example: lockstep search "black cotton t-shirt" --color Black --price-max 30
    """
    if not text.strip():
        raise typer.BadParameter("give some words to look for", param_hint="TEXT")
    if price_min is not None and price_max is not None and price_min > price_max:
        raise typer.BadParameter("is above --price-max", param_hint="--price-min")
    filters = Filters(
        color=color,
        department=department,
        product_type=product_type,
        product_group=product_group,
        index_name=index_name,
        price_min=None if price_min is None else Decimal(str(price_min)),
        price_max=None if price_max is None else Decimal(str(price_max)),
    )
    query = SearchQuery(text=text, mode=mode, filters=filters, limit=limit, offset=offset)
    hits = asyncio.run(_search(load_settings(), query))
    if json:
        print_json([hit.model_dump(mode="json") for hit in hits])
    elif hits:
        out.print(_table(hits))
    else:
        err.print("no product matches")


async def _search(settings: Settings, query: SearchQuery) -> list[Hit]:
    # Loading the model's libraries takes a second that `--help` should not.
    from ops.search import search as search_live
    from ops.stores import open_embedders, open_store

    async with open_store(settings) as store:
        return await search_live(store, open_embedders(settings), query)


def _table(hits: list[Hit]) -> Table:
    table = Table(box=None, pad_edge=False, expand=False)
    table.add_column("Score", justify="right")
    table.add_column("Article", no_wrap=True)
    table.add_column("Name", overflow="ellipsis", no_wrap=True)
    table.add_column("Colour", max_width=14, overflow="ellipsis", no_wrap=True)
    table.add_column("Price", justify="right")
    for hit in hits:
        table.add_row(f"{hit.score:.3f}", hit.article_id, hit.name, hit.color or "", hit.price or "")
    return table
