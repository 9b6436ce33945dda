"""`lockstep search`."""

import asyncio
from decimal import Decimal
from typing import Annotated

import typer
from pydantic import ValidationError
from rich.markup import escape
from rich.table import Table

from ops.settings import Settings, load_settings
from ops.terminal import err, harmless, out, print_json
from schemas.ranking import DEPTH
from schemas.search import FacetField, Filters, Hit, SearchAnswer, SearchMode, SearchQuery

_ARTICLE_WIDTH = 12
_COLOR_WIDTH = 14
_PRICE_WIDTH = 11
_OTHERS_WIDTH = len("Meaning") + len("Words") + _ARTICLE_WIDTH + _COLOR_WIDTH + _PRICE_WIDTH + 5


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
    limit: Annotated[int, typer.Option(min=1, max=100, help="How many hits.")] = 10,
    offset: Annotated[int, typer.Option(min=0, max=DEPTH - 1, help="How many to skip; 200 deep, with the limit.")] = 0,
    fresh: Annotated[bool, typer.Option("--fresh", help="Read each hit again in Postgres.")] = False,
    facets: Annotated[str, typer.Option(help="Count these columns' values too: color,department.")] = "",
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Search the products in Qdrant.

    Meaning and Words are the hit's ranks in the two halves of the search: `-` where it is not among the first 200.

    Example: lockstep search "black cotton t-shirt" --color Black --price-max 30
    """
    try:
        filters = Filters(
            color=readable(color),
            department=readable(department),
            product_type=readable(product_type),
            product_group=readable(product_group),
            index_name=readable(index_name),
            price_min=None if price_min is None else Decimal(str(price_min)),
            price_max=None if price_max is None else Decimal(str(price_max)),
        )
        query = SearchQuery(text=readable(text) or "", mode=mode, filters=filters, limit=limit, offset=offset)
        counted = tuple(FacetField(name.strip()) for name in facets.split(",") if name.strip())
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in problem["loc"])
        raise typer.BadParameter(
            ": ".join(filter(None, (place, problem["msg"].removeprefix("Value error, "))))
        ) from error
    except ValueError as error:
        raise typer.BadParameter(f"choose from {', '.join(FacetField)}", param_hint="--facets") from error
    answer = asyncio.run(_search(load_settings(), query, fresh=fresh, facets=counted))
    if json:
        print_json(answer.model_dump(mode="json"))
        return
    if answer.hits:
        out.print(_table(answer.hits))
    else:
        err.print("no product matches")
    if not answer.complete:
        err.print("too much of the index is behind Postgres: there may be more", style="dim")
    for name, counts in answer.facets.items():
        listed = ", ".join(f"{harmless(each.value)} {each.count:,}" for each in counts)
        out.print(f"{name}: {listed or 'none'}", markup=False)


def readable(text: str | None) -> str | None:
    """A command line may bring bytes that are no UTF-8, as lone surrogates: they become question marks."""
    return None if text is None else text.encode("utf-8", "replace").decode()


async def _search(
    settings: Settings, query: SearchQuery, *, fresh: bool, facets: tuple[FacetField, ...]
) -> SearchAnswer:
    # Loading the model's libraries takes a second that `--help` should not.
    from ops.query_vectors import QueryVectors
    from ops.search import SearchService
    from ops.stores import open_embedders, open_rows, open_store

    async with open_store(settings) as store, open_rows(settings, connect_now=False) as rows:
        service = SearchService(store, QueryVectors(open_embedders(settings)), rows)
        return await service.search(query, fresh=fresh, facets=facets)


def _table(hits: list[Hit]) -> Table:
    table = Table(box=None, pad_edge=False, expand=False)
    table.add_column("Meaning", justify="right")
    table.add_column("Words", justify="right")
    table.add_column("Article", no_wrap=True, max_width=_ARTICLE_WIDTH, overflow="ellipsis")
    # Only the name gives way: rich would take from every column.
    table.add_column("Name", no_wrap=True, max_width=max(10, out.width - _OTHERS_WIDTH), overflow="ellipsis")
    table.add_column("Colour", no_wrap=True, max_width=_COLOR_WIDTH, overflow="ellipsis")
    table.add_column("Price", justify="right", no_wrap=True, max_width=_PRICE_WIDTH, overflow="ellipsis")
    for hit in hits:
        ranks = (str(rank or "-") for rank in (hit.ranks.semantic, hit.ranks.keyword))
        texts = (hit.article_id, hit.name, hit.color or "", hit.price or "")
        table.add_row(*ranks, *(escape(harmless(text)) for text in texts))
    return table
