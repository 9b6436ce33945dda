"""The collections of an alias: which there are, how each was made, how far it is filled."""

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from qdrant_client import AsyncQdrantClient

from connectors.qdrant_errors import reading, translated
from schemas.collection import CollectionState, Coverage, Hnsw
from schemas.errors import ErrorKind, VectorStoreError
from schemas.recipe import Recipe

METADATA_RECIPE = "lockstep_recipe"
METADATA_COVERAGE = "lockstep_coverage"

Model = TypeVar("Model", bound=BaseModel)


class QdrantCollections:
    """Every method raises `VectorStoreError`."""

    def __init__(self, client: AsyncQdrantClient, *, alias: str) -> None:
        self._client = client
        self._alias = alias

    async def all(self) -> list[CollectionState]:
        """The live collection, and every other that was made for the alias, oldest name first."""
        with reading("list collections of", self._alias):
            live = {
                alias.collection_name
                for alias in (await self._client.get_aliases()).aliases
                if alias.alias_name == self._alias
            }
            names = {collection.name for collection in (await self._client.get_collections()).collections}
        # Another alias may begin with ours: products-eu-….
        ours = sorted(name for name in names if name in live or name.rsplit("-", 2)[0] == self._alias)
        states = [await self._state(name, live=name in live) for name in ours]
        return [state for state in states if state.live or state.recipe is not None]

    async def set_coverage(self, name: str, coverage: Coverage) -> None:
        """Say in the collection's metadata how far it is filled; the recipe in it stays."""
        with translated("set metadata of", name):
            await self._client.update_collection(name, metadata={METADATA_COVERAGE: coverage.model_dump(mode="json")})

    async def drop(self, name: str) -> None:
        """Remove a collection with all its points; a missing one is no error."""
        with translated("drop collection", name):
            await self._client.delete_collection(name)

    async def _state(self, name: str, *, live: bool) -> CollectionState:
        with reading("read collection", name):
            config = (await self._client.get_collection(name)).config
            metadata = config.metadata or {}
            points = (await self._client.count(name, exact=True)).count
        return CollectionState(
            name=name,
            live=live,
            points=points,
            recipe=_valid(Recipe, metadata.get(METADATA_RECIPE)),
            coverage=_valid(Coverage, metadata.get(METADATA_COVERAGE)),
            hnsw=Hnsw.model_construct(m=config.hnsw_config.m, ef_construct=config.hnsw_config.ef_construct),
        )


def metadata_of(recipe: Recipe, coverage: Coverage | None) -> dict[str, Any]:
    """What a new collection says of itself."""
    metadata = {METADATA_RECIPE: recipe.model_dump(mode="json")}
    return metadata | ({METADATA_COVERAGE: coverage.model_dump(mode="json")} if coverage else {})


def recipe_of(collection: str, metadata: Mapping[str, Any] | None) -> Recipe:
    """The recipe that a collection was made with.

    Raises:
        VectorStoreError: An outage: it was not made by Lockstep.
    """
    try:
        return Recipe.model_validate((metadata or {})[METADATA_RECIPE])
    except (KeyError, ValidationError) as error:
        raise VectorStoreError(
            f"collection {collection} does not say how it was made",
            kind=ErrorKind.OUTAGE,
            hint="point the alias at a collection made by: lockstep collections create",
        ) from error


def _valid(model: type[Model], value: Any) -> Model | None:
    try:
        return model.model_validate(value)
    except ValidationError:
        return None
