"""Reads how Qdrant and the live collection are set up; changes nothing."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError
from qdrant_client import AsyncQdrantClient, models

from connectors.qdrant_collections import METADATA_COVERAGE, METADATA_RECIPE
from connectors.qdrant_errors import reading
from schemas.collection import Coverage, Phase
from schemas.document import DENSE_VECTOR, SPARSE_VECTOR
from schemas.recipe import Recipe


@dataclass(frozen=True, slots=True, kw_only=True)
class QdrantSetup:
    """The server; `target` is the collection behind the alias, None when there is no such alias."""

    version: str
    alias: str
    target: str | None
    alias_is_collection: bool
    """A collection has the name that the alias should have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectionSetup:
    """The collection behind the alias. `recipe` is None for one that Lockstep did not make."""

    name: str
    status: str
    """Qdrant's word: green, yellow (optimising), grey (optimising later), red."""
    points: int
    recipe: Recipe | None
    phase: Phase | None
    dimensions: int | None
    """Of the dense vector; None without one of our name."""
    distance: str | None
    sparse_has_idf: bool
    """There is a sparse vector of our name, weighted by Qdrant's own document frequencies."""
    indexes: Mapping[str, str]
    """Payload field to type."""
    strict_limits: Mapping[str, Any] = field(default_factory=dict)
    """The limits of strict mode by Qdrant's names; empty when it is off."""


async def read_setup(client: AsyncQdrantClient, alias: str) -> tuple[QdrantSetup, CollectionSetup | None]:
    """The server, and the collection behind the alias if there is one.

    Raises:
        VectorStoreError: Qdrant cannot be reached, or refuses.
    """
    with reading("read the setup of", "qdrant"):
        version = (await client.info()).version
        aliases = {found.alias_name: found.collection_name for found in (await client.get_aliases()).aliases}
        names = {collection.name for collection in (await client.get_collections()).collections}
    target = aliases.get(alias)
    setup = QdrantSetup(version=version, alias=alias, target=target, alias_is_collection=alias in names)
    return setup, None if target is None else await _collection(client, target)


async def _collection(client: AsyncQdrantClient, name: str) -> CollectionSetup:
    with reading("read collection", name):
        info = await client.get_collection(name)
        points = (await client.count(name, exact=True)).count
    metadata = info.config.metadata or {}
    params = info.config.params
    dense = params.vectors.get(DENSE_VECTOR) if isinstance(params.vectors, dict) else None
    sparse = (params.sparse_vectors or {}).get(SPARSE_VECTOR)
    strict = info.config.strict_mode_config
    return CollectionSetup(
        name=name,
        status=info.status.value,
        points=points,
        recipe=_recipe(metadata.get(METADATA_RECIPE)),
        phase=_phase(metadata.get(METADATA_COVERAGE)),
        dimensions=dense.size if dense else None,
        distance=dense.distance.value if dense else None,
        sparse_has_idf=sparse is not None and sparse.modifier is models.Modifier.IDF,
        indexes={name: index.data_type.value for name, index in info.payload_schema.items()},
        strict_limits=strict.model_dump(exclude_none=True) if strict and strict.enabled else {},
    )


def _recipe(value: Any) -> Recipe | None:
    try:
        return Recipe.model_validate(value)
    except ValidationError:
        return None


def _phase(value: Any) -> Phase | None:
    try:
        return Coverage.model_validate(value).phase
    except ValidationError:
        return None
