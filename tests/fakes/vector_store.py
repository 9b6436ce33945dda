"""A Qdrant in a dictionary, and faults to wrap it with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from schemas.collection import LiveCollection
from schemas.document import Deletion, Document, StoredPoint, Vectors
from schemas.errors import ErrorKind, VectorStoreError
from schemas.recipe import Recipe


@dataclass
class Point:
    payload: dict[str, Any]
    vectors: Vectors

    @property
    def provenance(self) -> dict[str, Any]:
        return self.payload["_lockstep"]


@dataclass
class InMemoryVectorStore:
    """Keeps points by key, and every version that a point ever had."""

    live: LiveCollection = field(default_factory=lambda: LiveCollection(name="products-1", recipe=Recipe()))
    points: dict[str, Point] = field(default_factory=dict)
    history: dict[str, list[int]] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)

    async def live_collection(self) -> LiveCollection:
        self.calls.append("live_collection")
        return self.live

    async def stored_points(self, collection: str, keys: Sequence[str]) -> Mapping[str, StoredPoint]:
        self._expect(collection)
        self.calls.append("stored_points")
        return {
            key: StoredPoint(
                version=p.get("version"),
                recipe=p.get("recipe"),
                embedding_fingerprint=p.get("embedding_fingerprint"),
                row_hash=p.get("row_hash"),
            )
            for key in keys
            if key in self.points
            for p in [self.points[key].provenance]
        }

    async def upsert(self, collection: str, documents: Sequence[Document]) -> None:
        self._expect(collection)
        self.calls.append("upsert")
        for document in documents:
            assert document.vectors is not None
            if self._version(document.key) <= document.provenance.version:
                self._write(document, document.vectors)

    async def overwrite_payloads(self, collection: str, documents: Sequence[Document]) -> None:
        self._expect(collection)
        self.calls.append("overwrite_payloads")
        for document in documents:
            point = self.points.get(document.key)
            if (
                point is not None
                and self._version(document.key) <= document.provenance.version
                and point.provenance["embedding_fingerprint"] == document.provenance.embedding_fingerprint
            ):
                self._write(document, point.vectors)

    async def delete(self, collection: str, deletions: Sequence[Deletion]) -> None:
        self._expect(collection)
        self.calls.append("delete")
        for deletion in deletions:
            if deletion.key in self.points and self._version(deletion.key) <= deletion.version:
                del self.points[deletion.key]

    async def probe(self, collection: str) -> None:
        self._expect(collection)
        self.calls.append("probe")

    def _expect(self, collection: str) -> None:
        if collection != self.live.name:
            raise VectorStoreError(f"collection {collection} is gone", kind=ErrorKind.OUTAGE)

    def _version(self, key: str) -> int:
        return self.points[key].provenance["version"] if key in self.points else -1

    def _write(self, document: Document, vectors: Vectors) -> None:
        self.points[document.key] = Point(document.payload(), vectors)
        self.history.setdefault(document.key, []).append(document.provenance.version)


@dataclass
class FaultyVectorStore(InMemoryVectorStore):
    """`reject` keys are refused for good; `outages` many writes fail before, `after_write` many after they applied."""

    reject: set[str] = field(default_factory=set)
    outages: int = 0
    after_write: int = 0
    probe_fails: bool = False

    async def upsert(self, collection: str, documents: Sequence[Document]) -> None:
        self._maybe_fail()
        if bad := self.reject & {d.key for d in documents}:
            raise VectorStoreError(f"qdrant refused {sorted(bad)}", kind=ErrorKind.PERMANENT)
        await super().upsert(collection, documents)
        if self.after_write:
            self.after_write -= 1
            raise VectorStoreError("connection lost after the write")

    async def overwrite_payloads(self, collection: str, documents: Sequence[Document]) -> None:
        self._maybe_fail()
        await super().overwrite_payloads(collection, documents)

    async def delete(self, collection: str, deletions: Sequence[Deletion]) -> None:
        self._maybe_fail()
        await super().delete(collection, deletions)

    async def probe(self, collection: str) -> None:
        await super().probe(collection)
        if self.probe_fails:
            raise VectorStoreError("read-only", kind=ErrorKind.PERMANENT)

    def _maybe_fail(self) -> None:
        if self.outages:
            self.outages -= 1
            raise VectorStoreError("qdrant is down")
