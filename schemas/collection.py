"""The collections of an alias: the live one, and what each says of how it is filled."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from schemas.recipe import Recipe

WriteOrdering = Literal["weak", "medium", "strong"]
"""How Qdrant orders writes to a shard's replicas, by its own names; one copy has one order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveCollection:
    """The collection behind the alias at one moment, and how its vectors are made."""

    name: str
    recipe: Recipe


class Hnsw(BaseModel):
    """Settings of the index over the dense vectors, by Qdrant's names; None leaves one to the server.

    A collection has them from its making; they say nothing of its vectors.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    m: int | None = Field(default=None, ge=4, le=256)
    ef_construct: int | None = Field(default=None, ge=4, le=10_000)

    def is_met_by(self, other: "Hnsw") -> bool:
        """Whether a collection with the other settings is as these ask for."""
        return self.m in (None, other.m) and self.ef_construct in (None, other.ef_construct)


class Phase(StrEnum):
    """How far a rebuild has come with a collection."""

    FILLING = "filling"
    """It has a part of the rows."""
    FOLLOWING = "following"
    """It has every row up to its offsets. A live collection in this phase may lack changes of the moment of its move:
    its rebuild was ended too soon, and must be run again."""
    COMPLETE = "complete"
    """Every change is in it: workers keep it up to date since."""
    KEPT = "kept"
    """It was live, and has what came until then."""


class Coverage(BaseModel):
    """What a collection says of its content; one without it was made empty, and filled by workers.

    `covered` is the next offset that it lacks, by partition; empty while it is not known.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    phase: Phase
    at: datetime
    covered: dict[int, int] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectionState:
    """A collection as it is now. `recipe` is None for one that Lockstep did not make."""

    name: str
    live: bool
    points: int
    recipe: Recipe | None
    coverage: Coverage | None = None
    hnsw: Hnsw = field(default_factory=Hnsw)

    @property
    def phase(self) -> Phase | None:
        """None for one that was made empty."""
        return self.coverage.phase if self.coverage else None


def collection_name(alias: str, recipe: Recipe, now: datetime) -> str:
    """`<alias>-<utc>-<recipe8>`: sorts by age, tells the recipe."""
    return f"{alias}-{now.astimezone(UTC):%Y%m%dt%H%M%S}-{recipe.recipe_id[:8]}"


def created_at(name: str) -> datetime | None:
    """When a collection was made, by its name; None for a name of another form."""
    try:
        return datetime.strptime(name.split("-")[-2], "%Y%m%dt%H%M%S").replace(tzinfo=UTC)
    except (IndexError, ValueError):
        return None
