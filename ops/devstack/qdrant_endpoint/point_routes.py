"""The calls about points: writes, reads and searches."""

from collections.abc import Callable
from typing import Any, TypeVar

import qdrant_edge as edge
from pydantic import TypeAdapter
from qdrant_client.http import models

from ops.devstack.qdrant_endpoint import updates
from ops.devstack.qdrant_endpoint.calls import Call, Route
from ops.devstack.qdrant_endpoint.points import VectorShapes
from ops.devstack.qdrant_endpoint.refusals import not_found, not_served
from ops.devstack.qdrant_endpoint.store import Store

T = TypeVar("T")

_UPSERT: TypeAdapter[models.PointInsertOperations] = TypeAdapter(models.PointInsertOperations)
_SELECTOR: TypeAdapter[models.PointsSelector] = TypeAdapter(models.PointsSelector)
_SET_PAYLOAD = TypeAdapter(models.SetPayload)
_DELETE_PAYLOAD = TypeAdapter(models.DeletePayload)
_UPDATE_VECTORS = TypeAdapter(models.UpdateVectors)
_DELETE_VECTORS = TypeAdapter(models.DeleteVectors)
_BATCH = TypeAdapter(models.UpdateOperations)
_RETRIEVE = TypeAdapter(models.PointRequest)
_SCROLL = TypeAdapter(models.ScrollRequest)
_COUNT = TypeAdapter(models.CountRequest)
_FACET = TypeAdapter(models.FacetRequest)
_QUERY = TypeAdapter(models.QueryRequest)
_QUERIES = TypeAdapter(models.QueryRequestBatch)

# Whatever `wait` says, a write is applied and durable when it is answered.
_COMPLETED = {"status": models.UpdateStatus.COMPLETED}


def _write(form: TypeAdapter[T], convert: Callable[[T], edge.UpdateOperation]) -> Callable[[Store, Call], Any]:
    return _write_vectors(form, lambda given, _: convert(given))


def _write_vectors(
    form: TypeAdapter[T], convert: Callable[[T, VectorShapes], edge.UpdateOperation]
) -> Callable[[Store, Call], Any]:
    def answer(store: Store, call: Call) -> Any:
        collection = store.collection(call.name)
        given = call.read(form)
        collection.apply(lambda: [convert(given, collection.shapes)])
        return _COMPLETED

    return answer


def _batch_update(store: Store, call: Call) -> Any:
    collection = store.collection(call.name)
    operations = call.read(_BATCH).operations
    collection.apply(lambda: [updates.batch_operation(given, collection.shapes) for given in operations])
    return [_COMPLETED] * len(operations)


def _retrieve(store: Store, call: Call) -> Any:
    given = call.read(_RETRIEVE)
    if given.shard_key is not None:
        raise not_served("a shard key")
    return store.collection(call.name).retrieve(given.ids, given.with_payload, given.with_vector)


def _point(store: Store, call: Call) -> Any:
    text = call.path["id"]
    points = store.collection(call.name).retrieve([int(text) if text.isdecimal() else text], True, True)
    if not points:
        raise not_found(f"Point with id {text} does not exists!")
    return points[0]


def _scroll(store: Store, call: Call) -> Any:
    given = call.read(_SCROLL)
    if given.shard_key is not None:
        raise not_served("a shard key")
    points, next_offset = store.collection(call.name).scroll(given)
    return {"points": points, "next_page_offset": next_offset}


def _count(store: Store, call: Call) -> Any:
    given = call.read(_COUNT)
    if given.shard_key is not None:
        raise not_served("a shard key")
    return {"count": store.collection(call.name).count(given)}


def _facet(store: Store, call: Call) -> Any:
    given = call.read(_FACET)
    if given.shard_key is not None:
        raise not_served("a shard key")
    return {"hits": store.collection(call.name).facet(given)}


def _query(store: Store, call: Call) -> Any:
    return {"points": store.collection(call.name).query(call.read(_QUERY))}


def _query_batch(store: Store, call: Call) -> Any:
    collection = store.collection(call.name)
    return [{"points": collection.query(given)} for given in call.read(_QUERIES).searches]


POINT_ROUTES = (
    Route("PUT", "/collections/{name}/points", _write_vectors(_UPSERT, updates.upsert)),
    Route("POST", "/collections/{name}/points", _retrieve),
    Route("POST", "/collections/{name}/points/delete", _write(_SELECTOR, updates.delete_points)),
    Route("POST", "/collections/{name}/points/batch", _batch_update),
    Route("POST", "/collections/{name}/points/payload", _write(_SET_PAYLOAD, updates.set_payload)),
    Route("PUT", "/collections/{name}/points/payload", _write(_SET_PAYLOAD, updates.overwrite_payload)),
    Route("POST", "/collections/{name}/points/payload/delete", _write(_DELETE_PAYLOAD, updates.delete_payload)),
    Route("POST", "/collections/{name}/points/payload/clear", _write(_SELECTOR, updates.clear_payload)),
    Route("PUT", "/collections/{name}/points/vectors", _write_vectors(_UPDATE_VECTORS, updates.update_vectors)),
    Route("POST", "/collections/{name}/points/vectors/delete", _write_vectors(_DELETE_VECTORS, updates.delete_vectors)),
    Route("POST", "/collections/{name}/points/scroll", _scroll),
    Route("POST", "/collections/{name}/points/count", _count),
    Route("POST", "/collections/{name}/points/query", _query),
    Route("POST", "/collections/{name}/points/query/batch", _query_batch),
    Route("POST", "/collections/{name}/facet", _facet),
    Route("GET", "/collections/{name}/points/{id}", _point),
)
