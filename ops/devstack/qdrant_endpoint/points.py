"""Points and vectors between REST and the engine, every vector checked before any is applied."""

from __future__ import annotations  # the engine has its type aliases for type checkers only

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import qdrant_edge as edge
from qdrant_client.http import models

from ops.devstack.qdrant_endpoint.filters import point_id
from ops.devstack.qdrant_endpoint.refusals import not_served, wrong_input

UNNAMED_VECTOR = ""
_MAX_FLOAT32 = 3.4028234663852886e38


@dataclass(frozen=True, slots=True, kw_only=True)
class VectorShapes:
    """What a collection's vectors must look like: dimensions by name, and the names of the sparse ones.

    The engine applies the points before a wrong one, a Qdrant server none of them: so all are checked first.
    """

    dense: Mapping[str, int]
    sparse: frozenset[str]


def edge_points(given: models.PointsList | models.PointsBatch, shapes: VectorShapes) -> list[edge.Point]:
    """Points ready to upsert, in order. Both of REST's forms: a list of points, and columns."""
    if isinstance(given, models.PointsBatch):
        return _points_of_columns(given.batch, shapes)
    return [
        edge.Point(point_id(point.id), edge_vectors(point.vector, shapes), point.payload or {})
        for point in given.points
    ]


def _points_of_columns(batch: models.Batch, shapes: VectorShapes) -> list[edge.Point]:
    columns = batch.vectors if isinstance(batch.vectors, dict) else {UNNAMED_VECTOR: batch.vectors}
    payloads = batch.payloads if batch.payloads is not None else [{}] * len(batch.ids)
    for name, column in (*columns.items(), ("payloads", payloads)):
        if len(column) != len(batch.ids):
            raise wrong_input(f"{len(batch.ids)} ids, but {len(column)} of {name or 'vectors'}")
    return [
        edge.Point(
            point_id(identity),
            {name: edge_vector(name, column[row], shapes) for name, column in columns.items()},
            payloads[row] or {},
        )
        for row, identity in enumerate(batch.ids)
    ]


def edge_point_vectors(given: list[models.PointVectors], shapes: VectorShapes) -> list[edge.PointVectors]:
    """New vectors for points that exist, in order."""
    return [edge.PointVectors(point_id(point.id), edge_vectors(point.vector, shapes)) for point in given]


def edge_vectors(given: models.VectorStruct, shapes: VectorShapes) -> dict[str, edge.NamedVector]:
    """One point's vectors by name; a bare list is the unnamed vector."""
    named = given if isinstance(given, dict) else {UNNAMED_VECTOR: given}
    return {name: edge_vector(name, vector, shapes) for name, vector in named.items()}


def edge_vector(name: str, given: Any, shapes: VectorShapes) -> edge.NamedVector:
    """One vector of the collection's shape: the right dimension or kind, every number within float32."""
    match given:
        case list():
            if name not in shapes.dense:
                raise _unknown_vector(name)
            if given and isinstance(given[0], list):
                raise not_served("a vector of several rows")
            if len(given) != shapes.dense[name]:
                raise wrong_input(f"Vector dimension error: expected dim: {shapes.dense[name]}, got {len(given)}")
            # NaN cannot come out of JSON; a number beyond float32 would become infinite in the engine. The length
            # is beyond it as soon as one number is, and five times quicker to tell.
            if math.hypot(*given) > _MAX_FLOAT32:
                raise wrong_input(f"vector {name} holds a number beyond float32")
            return given
        case models.SparseVector():
            if name not in shapes.sparse:
                raise _unknown_vector(name)
            if len(given.indices) != len(given.values):
                raise wrong_input(f"sparse vector {name} has {len(given.indices)} indices, {len(given.values)} values")
            if len(set(given.indices)) != len(given.indices):
                raise wrong_input(f"sparse vector {name}: indices must be unique")
            return edge.SparseVector(given.indices, given.values)
        case _:
            raise not_served(f"inference ({type(given).__name__})")


def known_vector_names(names: list[str], shapes: VectorShapes) -> list[str]:
    """The names, each one a vector of the collection."""
    for name in names:
        if name not in shapes.dense and name not in shapes.sparse:
            raise _unknown_vector(name)
    return names


def _unknown_vector(name: str) -> Exception:
    return wrong_input(f"Not existing vector name error: {name}")


def rest_record(record: edge.Record) -> dict[str, Any]:
    """A stored point in the shape of `models.Record`; a plain dict, which needs no validating."""
    return {
        "id": record.id,
        "payload": record.payload,
        "vector": _rest_vectors(record.vector),
        "order_value": record.order_value,
    }


def rest_scored_point(point: edge.ScoredPoint) -> dict[str, Any]:
    """A hit in the shape of `models.ScoredPoint`."""
    return {
        "id": point.id,
        "version": point.version,
        "score": point.score,
        "payload": point.payload,
        "vector": _rest_vectors(point.vector),
        "order_value": point.order_value,
    }


def _rest_vectors(given: edge.Vector | None) -> Any:
    if isinstance(given, dict):
        return {name: _rest_vector(vector) for name, vector in given.items()}
    return given


def _rest_vector(given: edge.NamedVector) -> Any:
    if isinstance(given, edge.SparseVector):
        return {"indices": given.indices, "values": given.values}
    return given
