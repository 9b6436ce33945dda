"""Makes the collection that the alias points at; a worker never does."""

from datetime import UTC, datetime

from connectors.dense_encoder import dimensions_of
from ops.settings import Settings
from ops.stores import open_store
from schemas.collection import LiveCollection, collection_name
from schemas.errors import EmbeddingError, ErrorKind, SettingsError, VectorStoreError
from schemas.recipe import Recipe


def wanted_recipe(settings: Settings) -> Recipe:
    """The recipe that the settings ask for."""
    model = settings.embedding.model
    try:
        return Recipe(model=model, dimensions=dimensions_of(model))
    except EmbeddingError as error:
        raise SettingsError(f"setting LOCKSTEP_EMBEDDING_MODEL is wrong: {error}", hint=error.hint) from error


async def ensure_collection(settings: Settings) -> tuple[LiveCollection, bool]:
    """The live collection, and whether it was made now. An alias that exists is left as it is.

    Raises:
        VectorStoreError: Qdrant cannot be reached, or the alias points at something that is not ours.
    """
    async with open_store(settings) as store:
        try:
            return await store.live_collection(), False
        except VectorStoreError as error:
            if error.kind is not ErrorKind.OUTAGE or not await store.alias_is_free():
                raise
        recipe = wanted_recipe(settings)
        name = collection_name(settings.qdrant.alias, recipe, datetime.now(UTC))
        await store.create_collection(name, recipe)
        await store.point_alias(name)
        return LiveCollection(name=name, recipe=recipe), True
