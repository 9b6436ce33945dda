"""What an audit needs of a collection: every point, whoever wrote it, and ways to mend one that no record reaches."""

import random
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from qdrant_client import AsyncQdrantClient, models

from connectors.qdrant import QdrantStore
from connectors.qdrant_errors import reading, translated
from schemas.document import FINGERPRINT_FIELD, PROVENANCE, VERSION_FIELD, point_id

SOURCE_FIELD = f"{PROVENANCE}.source"
SEEN_FIELDS = ["article_id", VERSION_FIELD, SOURCE_FIELD]
RUNS = 16
"""A sample is read in as many runs, spread over the ids: ours are hashes, so that a run is a random choice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenPoint:
    """A point at one moment; a field is None where the point has none of its kind. Any writer may have made it."""

    id: int | str
    key: str | None
    """The row that the point is of; None, too, where it does not stand at the id of that row's point."""
    version: float | None
    """Ours are integers."""
    source: str | None = None
    """The place of the record it was made from, as the point says."""


class QdrantAudit:
    """Every method raises `VectorStoreError`. Every write names the version that was seen: newer points are left."""

    def __init__(self, client: AsyncQdrantClient, ordering: models.WriteOrdering) -> None:
        self._client = client
        self._ordering = ordering

    @classmethod
    def of(cls, store: QdrantStore) -> "QdrantAudit":
        """On the connection of a store."""
        return cls(store._client, store.write_ordering)

    async def points(self, collection: str, *, page: int) -> AsyncIterator[list[SeenPoint]]:
        """Every point, by pages in the order of point ids."""
        offset: Any = None
        while True:
            points, offset = await self._scroll(collection, offset, page)
            if points:
                yield points
            if offset is None:
                return

    async def sample(
        self, collection: str, share: float, *, page: int, chance: random.Random
    ) -> AsyncIterator[list[SeenPoint]]:
        """About that share of the points, drawn at random; points whose id is a number are not among them."""
        with reading("count points of", collection):
            wanted = (await self._client.count(collection, exact=True)).count * share / RUNS
        for run in range(RUNS):
            start = (run + chance.random() * (1 - share)) / RUNS
            offset: Any = str(UUID(int=int(start * (1 << 128))))
            left = int(wanted + chance.random())
            while left > 0 and offset is not None:
                points, offset = await self._scroll(collection, offset, min(page, left))
                left -= len(points)
                if points:
                    yield points

    async def points_by_id(self, collection: str, ids: Sequence[int | str]) -> list[SeenPoint]:
        """Those of the points that exist."""
        with reading("read points of", collection):
            points = await self._client.retrieve(collection, ids=ids, with_payload=SEEN_FIELDS, with_vectors=False)
        return [_seen(point) for point in points]

    async def remove(self, collection: str, points: Sequence[SeenPoint]) -> None:
        """Remove points that are as they were seen."""
        with translated("remove points of", collection):
            await self._client.delete(collection, points_selector=_as_seen(points), wait=True, ordering=self._ordering)

    async def disown(self, collection: str, versions: Mapping[str, float | None]) -> None:
        """Have these keys' points claim no version and no vector, where they still carry the version seen.

        They go on being found, and the next record of the key writes them whole, vectors too.
        """
        points = [SeenPoint(id=point_id(key), key=key, version=version) for key, version in versions.items()]
        nothing = {name.removeprefix(f"{PROVENANCE}."): value for name, value in _NOTHING.items()}
        with translated("write points of", collection):
            await self._client.set_payload(
                collection,
                payload=nothing,
                points=_as_seen(points),
                key=PROVENANCE,
                wait=True,
                ordering=self._ordering,
            )

    async def _scroll(self, collection: str, offset: Any, limit: int) -> tuple[list[SeenPoint], Any]:
        with reading("read points of", collection):
            points, following = await self._client.scroll(
                collection, limit=limit, offset=offset, with_payload=SEEN_FIELDS, with_vectors=False
            )
        return [_seen(point) for point in points], following


_LEAST = -1.7e308
_NOTHING = {VERSION_FIELD: 0, FINGERPRINT_FIELD: ""}


def version_of(payload: Mapping[str, Any]) -> float | None:
    """The version that a payload carries; None where that is no number."""
    version = _provenance(payload).get("version")
    return version if isinstance(version, int | float) and not isinstance(version, bool) else None


def _provenance(payload: Mapping[str, Any]) -> Mapping[str, Any]:
    provenance = payload.get(PROVENANCE)
    return provenance if isinstance(provenance, dict) else {}


def _seen(point: models.Record) -> SeenPoint:
    payload = point.payload or {}
    key, source = payload.get("article_id"), _provenance(payload).get("source")
    return SeenPoint(
        id=point.id if isinstance(point.id, int) else str(point.id),
        key=key if isinstance(key, str) and "\0" not in key and point_id(key) == str(point.id) else None,
        version=version_of(payload),
        source=source if isinstance(source, str) else None,
    )


def _as_seen(points: Iterable[SeenPoint]) -> models.Filter:
    """One clause a point: its version is the one seen, or still no number."""
    clauses: list[models.Condition] = []
    for point in points:
        has_id = models.HasIdCondition(has_id=[point.id])
        if point.version is None:
            a_number = models.FieldCondition(key=VERSION_FIELD, range=models.Range(gte=_LEAST))
            clauses.append(models.Filter(must=[has_id], must_not=[a_number]))
        else:
            same = models.Range(gte=point.version, lte=point.version)
            clauses.append(models.Filter(must=[has_id, models.FieldCondition(key=VERSION_FIELD, range=same)]))
    return models.Filter(should=clauses)
