"""REST's writes as the engine's operations."""

from collections.abc import Callable
from typing import Any

import qdrant_edge as edge
from qdrant_client.http import models

from ops.devstack.qdrant_endpoint.filters import edge_filter, optional_filter, point_ids
from ops.devstack.qdrant_endpoint.points import (
    VectorShapes,
    edge_point_vectors,
    edge_points,
    known_vector_names,
)
from ops.devstack.qdrant_endpoint.refusals import not_served, wrong_input

_MODES = {
    models.UpdateMode.UPSERT: edge.UpdateMode.Upsert,
    models.UpdateMode.INSERT_ONLY: edge.UpdateMode.InsertOnly,
    models.UpdateMode.UPDATE_ONLY: edge.UpdateMode.UpdateOnly,
}


def batch_operation(given: models.UpdateOperation, shapes: VectorShapes) -> edge.UpdateOperation:
    """One member of a batch of updates."""
    match given:
        case models.UpsertOperation():
            return upsert(given.upsert, shapes)
        case models.DeleteOperation():
            return delete_points(given.delete)
        case models.SetPayloadOperation():
            return set_payload(given.set_payload)
        case models.OverwritePayloadOperation():
            return overwrite_payload(given.overwrite_payload)
        case models.DeletePayloadOperation():
            return delete_payload(given.delete_payload)
        case models.ClearPayloadOperation():
            return clear_payload(given.clear_payload)
        case models.UpdateVectorsOperation():
            return update_vectors(given.update_vectors, shapes)
        case models.DeleteVectorsOperation():
            return delete_vectors(given.delete_vectors, shapes)


def upsert(given: models.PointInsertOperations, shapes: VectorShapes) -> edge.UpdateOperation:
    """Points whole; with `update_filter`, a stored point that does not match it is left alone."""
    _refuse_shard_key(given)
    mode = _MODES[given.update_mode] if given.update_mode else None
    return edge.UpdateOperation.upsert_points(
        edge_points(given, shapes), condition=optional_filter(given.update_filter), update_mode=mode
    )


def delete_points(given: models.PointsSelector) -> edge.UpdateOperation:
    """Points by id or by filter; what is missing is no error."""
    _refuse_shard_key(given)
    if isinstance(given, models.PointIdsList):
        return edge.UpdateOperation.delete_points(point_ids(given.points))
    return edge.UpdateOperation.delete_points_by_filter(edge_filter(given.filter))


def set_payload(given: models.SetPayload) -> edge.UpdateOperation:
    """Merge keys into payloads. By id a missing point is an error, by filter it is not: so for every payload write."""
    operation = edge.UpdateOperation
    return _by_selection(given, operation.set_payload, operation.set_payload_by_filter, given.payload, given.key)


def overwrite_payload(given: models.SetPayload) -> edge.UpdateOperation:
    """Replace payloads."""
    operation = edge.UpdateOperation
    return _by_selection(
        given, operation.overwrite_payload, operation.overwrite_payload_by_filter, given.payload, given.key
    )


def delete_payload(given: models.DeletePayload) -> edge.UpdateOperation:
    """Remove keys from payloads."""
    operation = edge.UpdateOperation
    return _by_selection(given, operation.delete_payload, operation.delete_payload_by_filter, given.keys)


def clear_payload(given: models.PointsSelector) -> edge.UpdateOperation:
    """Empty payloads."""
    _refuse_shard_key(given)
    if isinstance(given, models.PointIdsList):
        return edge.UpdateOperation.clear_payload(point_ids(given.points))
    return edge.UpdateOperation.clear_payload_by_filter(edge_filter(given.filter))


def update_vectors(given: models.UpdateVectors, shapes: VectorShapes) -> edge.UpdateOperation:
    """Replace the named vectors of points and keep the others; a missing point is an error."""
    _refuse_shard_key(given)
    return edge.UpdateOperation.update_vectors(
        edge_point_vectors(given.points, shapes), condition=optional_filter(given.update_filter)
    )


def delete_vectors(given: models.DeleteVectors, shapes: VectorShapes) -> edge.UpdateOperation:
    """Remove named vectors of points."""
    names = known_vector_names(given.vector, shapes)
    operation = edge.UpdateOperation
    return _by_selection(given, operation.delete_vectors, operation.delete_vectors_by_filter, names)


def _by_selection(
    given: models.SetPayload | models.DeletePayload | models.DeleteVectors,
    by_ids: Callable[..., edge.UpdateOperation],
    by_filter: Callable[..., edge.UpdateOperation],
    *arguments: Any,
) -> edge.UpdateOperation:
    """The operation on ids or on a filter. Given both, the filter is ignored, as on a server."""
    _refuse_shard_key(given)
    if given.points is not None:
        return by_ids(point_ids(given.points), *arguments)
    if given.filter is not None:
        return by_filter(edge_filter(given.filter), *arguments)
    raise wrong_input("No filter or points provided")


def _refuse_shard_key(given: Any) -> None:
    if given.shard_key is not None:
        raise not_served("a shard key")
