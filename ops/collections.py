"""Makes the collection that the alias points at, which a worker never does; lists and drops the others."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import orjson
from pydantic import ValidationError

from connectors.dense_encoder import dimensions_of
from connectors.postgres import Postgres
from ops.settings import Settings
from ops.stores import open_rows, open_store
from schemas.collection import CollectionState, LiveCollection, collection_name
from schemas.errors import EmbeddingError, ErrorKind, ReplayError, SettingsError, VectorStoreError
from schemas.recipe import Recipe


def wanted_recipe(settings: Settings) -> Recipe:
    """The recipe that the settings ask for."""
    try:
        return with_model(Recipe(), settings.embedding.model)
    except EmbeddingError as error:
        raise SettingsError(f"setting LOCKSTEP_EMBEDDING_MODEL is wrong: {error}", hint=error.hint) from error


def with_model(recipe: Recipe, model: str) -> Recipe:
    """The recipe with another model, and the dimensions of that.

    Raises:
        EmbeddingError: There is no such model.
    """
    return Recipe.model_validate({**recipe.model_dump(), "model": model, "dimensions": dimensions_of(model)})


def read_recipe(path: Path) -> Recipe:
    """A recipe from a file of JSON: fields of `Recipe`, those left out as they are by default.

    Raises:
        SettingsError: The file cannot be read, or is no recipe.
        EmbeddingError: There is no such model.
    """
    try:
        given = orjson.loads(path.read_bytes())
        if not isinstance(given, dict):
            raise SettingsError(f"recipe {path} is wrong: it is no JSON object")
        model = given.get("model", Recipe().model)
        if isinstance(model, str) and "dimensions" not in given:
            given |= {"dimensions": dimensions_of(model)}
        return Recipe.model_validate(given)
    except orjson.JSONDecodeError as error:
        raise SettingsError(f"recipe {path} is wrong: it is no JSON") from error
    except OSError as error:
        raise SettingsError(f"cannot read recipe {path}: {error.strerror}") from error
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in problem["loc"])
        reason = problem["msg"].removeprefix("Value error, ")
        raise SettingsError(f"recipe {path} is wrong: {place + ': ' if place else ''}{reason}") from error


async def list_collections(settings: Settings) -> list[CollectionState]:
    """Every collection of the alias, oldest first.

    Raises:
        VectorStoreError: Qdrant cannot be reached.
    """
    async with open_store(settings) as store:
        return await store.collections.all()


async def drop_collection(settings: Settings, name: str) -> None:
    """Remove a collection of the alias that is not live.

    Raises:
        ReplayError: It is live, it is none of the alias's, or a rebuild is running, which may be filling it.
        VectorStoreError: Qdrant cannot be reached.
        SourceError: Postgres, where a rebuild is noted, cannot be reached.
    """
    async with open_rows(settings) as rows, alone(rows, settings.qdrant.alias), open_store(settings) as store:
        check_droppable(await store.collections.all(), name)
        await store.collections.drop(name)


@asynccontextmanager
async def alone(rows: Postgres, alias: str) -> AsyncIterator[None]:
    """See to it that nobody else rebuilds, rolls back or drops collections of the alias while the block runs.

    Raises:
        ReplayError: Somebody does.
        SourceError: Postgres cannot be reached.
    """
    async with rows.alone(f"lockstep collections of {alias}") as held:
        if not held:
            raise ReplayError(
                f"another rebuild or rollback of {alias} is running", hint="wait until it has come to its end"
            )
        yield


def check_droppable(states: Sequence[CollectionState], name: str) -> None:
    """Refuse what must not be dropped.

    Raises:
        ReplayError: The collection is live, or it is none of the alias's.
    """
    state = next((state for state in states if state.name == name), None)
    if state is None:
        raise ReplayError(f"collection {name} does not exist", hint="lockstep collections list")
    if state.live:
        raise ReplayError(f"collection {name} is live", hint="move the alias first: lockstep rebuild, or rollback")


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
