"""`lockstep collections`."""

import asyncio
from typing import Annotated

import typer

from ops.settings import load_settings
from ops.terminal import out, print_json


def register(app: typer.Typer) -> None:
    """Add the group."""
    group = typer.Typer(no_args_is_help=True, help="The collections behind the alias.")
    group.command()(create)
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
