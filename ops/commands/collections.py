"""`lockstep collections`."""

import asyncio
from typing import Annotated, Any

import typer
from rich.table import Table

from ops.settings import load_settings
from ops.terminal import out, print_json
from schemas.collection import CollectionState, Phase, created_at


def register(app: typer.Typer) -> None:
    """Add the group."""
    group = typer.Typer(no_args_is_help=True, help="The collections behind the alias.")
    group.command()(create)
    group.command("list")(list_)
    group.command(no_args_is_help=True)(drop)
    app.add_typer(group, name="collections")


def create(json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Create the collection that the alias points at; one that is there stays as it is.

    Its recipe comes from LOCKSTEP_EMBEDDING_MODEL, and stays with it.

    Example: lockstep collections create
    """
    from ops.collections import ensure_collection

    live, created = asyncio.run(ensure_collection(load_settings()))
    if json:
        print_json({"collection": live.name, "created": created, "recipe": live.recipe.model_dump(mode="json")})
    else:
        out.print(f"{'created' if created else 'exists already:'} {live.name} ({live.recipe.model})", soft_wrap=True)


def list_(json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Every collection of the alias: which is live, how each was made, how far each is filled.

    HNSW is m and ef_construct of its index. A name ends with its recipe, which stands below the table.

    Example: lockstep collections list
    """
    from ops.collections import list_collections

    states = asyncio.run(list_collections(load_settings()))
    if json:
        print_json([_as_json(state) for state in states])
        return
    table = Table(box=None, pad_edge=False)
    table.add_column("Collection", no_wrap=True)
    table.add_column("State")
    table.add_column("Points", justify="right")
    table.add_column("HNSW", justify="right")
    table.add_column("Made")
    for state in states:
        made = created_at(state.name)
        table.add_row(
            state.name,
            _state(state),
            f"{state.points:,}",
            f"{state.hnsw.m}/{state.hnsw.ef_construct}",
            f"{made:%Y-%m-%d %H:%M}" if made else "",
        )
    out.print(table)
    recipes = {state.recipe.recipe_id[:8]: state.recipe for state in states if state.recipe}
    for short, recipe in recipes.items():
        out.print(f"{short}: {recipe.model}, {recipe.dimensions} dimensions", highlight=False, soft_wrap=True)


def _state(state: CollectionState) -> str:
    """`live`, unless a rebuild has not come to its end there."""
    if state.live:
        return "live" if state.phase in (None, Phase.COMPLETE, Phase.KEPT) else f"live, {state.phase}"
    return state.phase.value if state.phase else ""


def drop(
    name: Annotated[str, typer.Argument(help="As `collections list` shows it.", show_default=False)],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Drop a collection with all its points; never the live one.

    Example: lockstep collections drop products-20261120t100000-3a5f644c
    """
    from ops.collections import drop_collection

    if not yes:
        typer.confirm(f"Drop {name} with all its points?", abort=True)
    asyncio.run(drop_collection(load_settings(), name))
    out.print(f"dropped {name}", soft_wrap=True)


def _as_json(state: CollectionState) -> dict[str, Any]:
    made = created_at(state.name)
    return {
        "collection": state.name,
        "live": state.live,
        "points": state.points,
        "phase": state.phase,
        "covered": {str(n): offset for n, offset in state.coverage.covered.items()} if state.coverage else None,
        "covered_at": state.coverage.at.isoformat() if state.coverage else None,
        "made_at": made.isoformat() if made else None,
        "recipe": state.recipe.model_dump(mode="json") if state.recipe else None,
        "hnsw": state.hnsw.model_dump(),
    }
