"""What a collection is made of: vectors, payload indexes, and the settings that readers see."""

from typing import Any

import qdrant_edge as edge
from pydantic import BaseModel
from qdrant_client.http import models

from ops.devstack.qdrant_endpoint.points import UNNAMED_VECTOR, VectorShapes
from ops.devstack.qdrant_endpoint.refusals import not_served, wrong_input

# The server's defaults. Nothing is optimised here, so they are kept for readers and change no search.
_HNSW = models.HnswConfig(m=16, ef_construct=100, full_scan_threshold=10000, max_indexing_threads=0)
_OPTIMIZERS = models.OptimizersConfig(
    deleted_threshold=0.2,
    vacuum_min_vector_number=1000,
    default_segment_number=0,
    indexing_threshold=10000,
    flush_interval_sec=5,
)
_WAL = models.WalConfig(wal_capacity_mb=32, wal_segments_ahead=0)

_INDEX_CLASSES: dict[str, Any] = {
    "keyword": edge.KeywordIndexParams,
    "integer": edge.IntegerIndexParams,
    "float": edge.FloatIndexParams,
    "bool": edge.BoolIndexParams,
    "datetime": edge.DatetimeIndexParams,
    "uuid": edge.UuidIndexParams,
    "text": edge.TextIndexParams,
}
_INDEX_FIELDS_NOT_SERVED = ("stopwords", "stemmer", "scoring", "nested", "memory")


def collection_config(given: models.CreateCollection) -> models.CollectionConfig:
    """The settings of a new collection, as `GET /collections/{name}` shows them ever after.

    Raises:
        Refusal: 501 for what this endpoint would silently not do: shards, replicas, quantization, strict mode.
    """
    for name, value, default in (
        ("shard_number", given.shard_number, 1),
        ("replication_factor", given.replication_factor, 1),
        ("write_consistency_factor", given.write_consistency_factor, 1),
        ("sharding_method", given.sharding_method, None),
        ("quantization_config", given.quantization_config, None),
    ):
        if value not in (None, default):
            raise not_served(f"{name} of a collection")
    if given.strict_mode_config is not None and given.strict_mode_config.enabled:
        raise not_served("strict mode")
    for vector in _dense_params(given.vectors).values():
        if vector.multivector_config is not None or vector.quantization_config is not None:
            raise not_served("a vector of several rows, or a quantized one")
        if vector.size < 1:
            raise wrong_input(f"vector size {vector.size} must be 1 or more")
    return models.CollectionConfig(
        params=models.CollectionParams(
            vectors=given.vectors,
            sparse_vectors=given.sparse_vectors,
            on_disk_payload=True if given.on_disk_payload is None else given.on_disk_payload,
        ),
        hnsw_config=_overlaid(_HNSW, given.hnsw_config),
        optimizer_config=_overlaid(_OPTIMIZERS, given.optimizers_config),
        wal_config=_overlaid(_WAL, given.wal_config),
        metadata=given.metadata,
    )


def updated_config(config: models.CollectionConfig, given: models.UpdateCollection) -> models.CollectionConfig:
    """The settings after an update: metadata is merged key by key, null removes a key."""
    for name in ("vectors", "params", "quantization_config", "sparse_vectors", "strict_mode_config"):
        if getattr(given, name) is not None:
            raise not_served(f"an update of a collection's {name}")
    metadata = config.metadata
    if given.metadata is not None:
        merged = (metadata or {}) | given.metadata
        metadata = {key: value for key, value in merged.items() if value is not None}
    return config.model_copy(
        update={
            "hnsw_config": _overlaid(config.hnsw_config, given.hnsw_config),
            "optimizer_config": _overlaid(config.optimizer_config, given.optimizers_config),
            "metadata": metadata,
        }
    )


def edge_config(config: models.CollectionConfig) -> edge.EdgeConfig:
    """The engine's configuration of a new collection."""
    return edge.EdgeConfig(
        vectors={
            name: edge.EdgeVectorParams(
                size=params.size,
                distance=getattr(edge.Distance, params.distance.value),
                datatype=None
                if params.datatype is None
                else getattr(edge.VectorStorageDatatype, params.datatype.value.capitalize()),
            )
            for name, params in _dense_params(config.params.vectors).items()
        },
        sparse_vectors={
            name: edge.EdgeSparseVectorParams(
                modifier=edge.Modifier.Idf if params.modifier is models.Modifier.IDF else None
            )
            for name, params in (config.params.sparse_vectors or {}).items()
        },
        on_disk_payload=config.params.on_disk_payload,
        # Never optimised, a collection is one segment: more threads would have nothing to share.
        max_search_threads=1,
    )


def vector_shapes(config: models.CollectionConfig) -> VectorShapes:
    """What each vector of the collection must look like."""
    return VectorShapes(
        dense={name: params.size for name, params in _dense_params(config.params.vectors).items()},
        sparse=frozenset(config.params.sparse_vectors or {}),
    )


def index_schema(given: models.PayloadFieldSchema) -> Any:
    """The engine's parameters of a payload index."""
    params = {} if isinstance(given, models.PayloadSchemaType) else given.model_dump(mode="json", exclude_none=True)
    kind = str(params.pop("type", given))
    if kind not in _INDEX_CLASSES:
        raise not_served(f"a payload index of type {kind}")
    for name in _INDEX_FIELDS_NOT_SERVED:
        if name in params:
            raise not_served(f"{name} of a payload index")
    if "tokenizer" in params:
        params["tokenizer"] = getattr(edge.TokenizerType, params["tokenizer"].capitalize())
    return _INDEX_CLASSES[kind](**params)


def index_info(given: models.PayloadFieldSchema, points: int) -> models.PayloadIndexInfo:
    """A payload index as a collection's info shows it."""
    if isinstance(given, models.PayloadSchemaType):
        return models.PayloadIndexInfo(data_type=given, points=points)
    kind = models.PayloadSchemaType(given.type.value)
    return models.PayloadIndexInfo(data_type=kind, params=given, points=points)


def _dense_params(given: models.VectorsConfig | None) -> dict[str, models.VectorParams]:
    if given is None:
        return {}
    return given if isinstance(given, dict) else {UNNAMED_VECTOR: given}


def _overlaid(settings: Any, given: BaseModel | None) -> Any:
    return settings if given is None else settings.model_copy(update=given.model_dump(exclude_none=True))
