"""The collection behind the alias."""

from dataclasses import dataclass
from datetime import UTC, datetime

from schemas.recipe import Recipe


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveCollection:
    """The collection behind the alias at one moment, and how its vectors are made."""

    name: str
    recipe: Recipe


def collection_name(alias: str, recipe: Recipe, now: datetime) -> str:
    """`<alias>-<utc>-<recipe8>`: sorts by age, tells the recipe."""
    return f"{alias}-{now.astimezone(UTC):%Y%m%dt%H%M%S}-{recipe.recipe_id[:8]}"
