"""The calls about collections, aliases and payload indexes."""

from typing import Any

from pydantic import TypeAdapter
from qdrant_client.http import models

from ops.devstack.qdrant_endpoint.calls import Call, Route
from ops.devstack.qdrant_endpoint.refusals import Refusal, wrong_input
from ops.devstack.qdrant_endpoint.store import Store

_CREATE_COLLECTION = TypeAdapter(models.CreateCollection)
_UPDATE_COLLECTION = TypeAdapter(models.UpdateCollection)
_CREATE_INDEX = TypeAdapter(models.CreateFieldIndex)
_CHANGE_ALIASES = TypeAdapter(models.ChangeAliasesOperation)


def _list_collections(store: Store, _: Call) -> Any:
    return {"collections": [{"name": name} for name in store.catalog.collections]}


def _create_collection(store: Store, call: Call) -> Any:
    store.create(call.name, call.read(_CREATE_COLLECTION))
    return True


def _collection_info(store: Store, call: Call) -> Any:
    return store.collection(call.name).info().model_dump(mode="json", by_alias=True, exclude_none=True)


def _update_collection(store: Store, call: Call) -> Any:
    store.update(call.name, call.read(_UPDATE_COLLECTION))
    return True


def _delete_collection(store: Store, call: Call) -> Any:
    return store.delete(call.name)


def _collection_exists(store: Store, call: Call) -> Any:
    try:
        store.collection(call.name)
    except Refusal:
        return {"exists": False}
    return {"exists": True}


def _create_index(store: Store, call: Call) -> Any:
    given = call.read(_CREATE_INDEX)
    if given.field_schema is None:
        raise wrong_input(f"Unable to infer type for the field '{given.field_name}'. Please specify `field_schema`")
    store.create_index(call.name, given.field_name, given.field_schema)
    return {"status": models.UpdateStatus.COMPLETED}


def _delete_index(store: Store, call: Call) -> Any:
    store.delete_index(call.name, call.path["field"])
    return {"status": models.UpdateStatus.COMPLETED}


def _change_aliases(store: Store, call: Call) -> Any:
    store.change_aliases(call.read(_CHANGE_ALIASES).actions)
    return True


def _all_aliases(store: Store, _: Call) -> Any:
    return _aliases(store.catalog.aliases)


def _collection_aliases(store: Store, call: Call) -> Any:
    catalog = store.catalog
    concrete = catalog.concrete_name(call.name)
    return _aliases({alias: target for alias, target in catalog.aliases.items() if target == concrete})


def _aliases(aliases: dict[str, str]) -> Any:
    return {"aliases": [{"alias_name": alias, "collection_name": target} for alias, target in aliases.items()]}


COLLECTION_ROUTES = (
    Route("GET", "/collections", _list_collections),
    Route("GET", "/aliases", _all_aliases),
    # Before the calls on a collection: "aliases" is no collection's name here.
    Route("POST", "/collections/aliases", _change_aliases),
    Route("PUT", "/collections/{name}", _create_collection),
    Route("GET", "/collections/{name}", _collection_info),
    Route("PATCH", "/collections/{name}", _update_collection),
    Route("DELETE", "/collections/{name}", _delete_collection),
    Route("GET", "/collections/{name}/exists", _collection_exists),
    Route("GET", "/collections/{name}/aliases", _collection_aliases),
    Route("PUT", "/collections/{name}/index", _create_index),
    Route("DELETE", "/collections/{name}/index/{field}", _delete_index),
)
