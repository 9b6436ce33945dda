"""One open collection: the engine's shard, its settings, and whether it has writes to flush."""

from __future__ import annotations  # the engine has its type aliases for type checkers only

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import qdrant_edge as edge
from qdrant_client.http import models

from ops.devstack.qdrant_endpoint.catalog import CollectionEntry
from ops.devstack.qdrant_endpoint.filters import optional_filter
from ops.devstack.qdrant_endpoint.points import rest_record, rest_scored_point
from ops.devstack.qdrant_endpoint.queries import facet_request, payload_selection, query_request, scroll_request
from ops.devstack.qdrant_endpoint.refusals import engine_refusals, not_found, wrong_input
from ops.devstack.qdrant_endpoint.schema import edge_config, index_info, vector_shapes

T = TypeVar("T")


class Collection:
    """Reads and writes of one collection, from any thread: the engine takes one update at a time.

    An update that returned is in the engine's write-ahead log and survives the death of the process. `flush` only
    shortens the log that the next start replays. Every method raises `Refusal`.
    """

    def __init__(self, name: str, entry: CollectionEntry, shard: edge.EdgeShard) -> None:
        self.name = name
        self.entry = entry
        self.shapes = vector_shapes(entry.config)
        self._shard = shard
        self._has_unflushed_writes = False

    @classmethod
    def create(cls, name: str, entry: CollectionEntry, folder: Path) -> Collection:
        """A new, empty collection in a folder that does not exist yet."""
        with engine_refusals(name):
            config = edge_config(entry.config)
            folder.mkdir(parents=True)
            shard = edge.EdgeShard.create(str(folder), config)
            shard.flush()
        return cls(name, entry, shard)

    @classmethod
    def load(cls, name: str, entry: CollectionEntry, folder: Path) -> Collection:
        """Open a collection and replay what was written after its last flush."""
        with engine_refusals(name):
            return cls(name, entry, edge.EdgeShard.load(str(folder)))

    def apply(self, convert: Callable[[], Sequence[edge.UpdateOperation]]) -> None:
        """Convert a request whole, then apply its operations in order; those after a failing one are not run."""
        for operation in self._converted(convert):
            # Raised before the call: a failing operation is in the log, and may be applied in part.
            self._has_unflushed_writes = True
            with engine_refusals(self.name):
                self._shard.update(operation)

    def create_index(self, field: str, schema: Any) -> None:
        """Index a payload key."""
        self.apply(lambda: [edge.UpdateOperation.create_field_index(field, schema)])

    def delete_index(self, field: str) -> None:
        """Forget the index of a payload key."""
        self.apply(lambda: [edge.UpdateOperation.delete_field_index(field)])

    def retrieve(
        self,
        ids: list[edge.PointId],
        with_payload: models.WithPayloadInterface | None,
        with_vector: models.WithVector | None,
    ) -> list[dict[str, Any]]:
        """The points that exist among these ids."""
        payload = payload_selection(with_payload, default=True)
        with engine_refusals(self.name):
            records = self._shard.retrieve(ids, payload, with_vector or False)
        return [rest_record(record) for record in records]

    def scroll(self, given: models.ScrollRequest) -> tuple[list[dict[str, Any]], edge.PointId | None]:
        """A page, and where the next one starts (None after the last, and with an order of its own)."""
        request = self._converted(lambda: scroll_request(given))
        with engine_refusals(self.name):
            records, next_offset = self._shard.scroll(request)
        return [rest_record(record) for record in records], None if given.order_by else next_offset

    def count(self, given: models.CountRequest) -> int:
        """How many points match: always exact."""
        request = self._converted(lambda: edge.CountRequest(exact=True, filter=optional_filter(given.filter)))
        with engine_refusals(self.name):
            return self._shard.count(request)

    def query(self, given: models.QueryRequest) -> list[dict[str, Any]]:
        """The best hits, best first."""
        request = self._converted(lambda: query_request(given, self.shapes, self._stored_vector))
        with engine_refusals(self.name):
            hits = self._shard.query(request)
        return [rest_scored_point(hit) for hit in hits]

    def facet(self, given: models.FacetRequest) -> list[dict[str, Any]]:
        """The values of a key and how many points have each, most frequent first."""
        request = self._converted(lambda: facet_request(given))
        with engine_refusals(self.name):
            hits = self._shard.facet(request).hits
        return [{"value": hit.value, "count": hit.count} for hit in hits]

    def info(self) -> models.CollectionInfo:
        """What `GET /collections/{name}` answers."""
        with engine_refusals(self.name):
            info = self._shard.info()
        indexed_points = {field: index.points for field, index in info.payload_schema.items()}
        return models.CollectionInfo(
            status=models.CollectionStatus.GREEN,
            optimizer_status=models.OptimizersStatusOneOf.OK,
            indexed_vectors_count=info.indexed_vectors_count,
            points_count=info.points_count,
            segments_count=info.segments_count,
            config=self.entry.config,
            payload_schema={
                field: index_info(schema, indexed_points.get(field, 0))
                for field, schema in self.entry.payload_indexes.items()
            },
            update_queue=models.UpdateQueueInfo(length=0),
        )

    def flush(self) -> None:
        """Write segments to disk, if anything was written since the last time."""
        if not self._has_unflushed_writes:
            return
        # Lowered first: a write that slips in between raises it again and is flushed next time.
        self._has_unflushed_writes = False
        try:
            with engine_refusals(self.name):
                self._shard.flush()
        except BaseException:
            self._has_unflushed_writes = True
            raise

    def close(self) -> None:
        """Flush and let go of the files; every later call answers that the collection is gone."""
        self._shard.close()

    def _converted(self, convert: Callable[[], T]) -> T:
        try:
            return convert()
        except (ValueError, OverflowError) as error:
            # The engine's own classes check ids, dates, keys and integers when they are made.
            raise wrong_input(str(error)) from error

    def _stored_vector(self, point: edge.PointId, name: str) -> edge.NamedVector:
        with engine_refusals(self.name):
            records = self._shard.retrieve([point], False, True)
        if not records:
            raise not_found(f"No point with id {point} found")
        vectors = records[0].vector
        vector = vectors.get(name) if isinstance(vectors, dict) else vectors
        if vector is None:
            raise wrong_input(f"point {point} has no vector {name}")
        return vector
