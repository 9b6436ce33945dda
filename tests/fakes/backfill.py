"""A Qdrant with several collections and a growing topic, for backfills beside a worker."""

import asyncio
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from schemas.collection import CollectionState, Coverage, Hnsw, LiveCollection
from schemas.document import Deletion, Document, StoredPoint, Vectors
from schemas.recipe import Recipe
from schemas.record import Record
from tests.fakes.vector_store import InMemoryVectorStore


@dataclass
class Turns:
    """Lets others of the event loop go first at every call, more or fewer of them by the seed."""

    seed: int

    def __post_init__(self) -> None:
        self._chance = random.Random(self.seed)

    async def take(self) -> None:
        for _ in range(self._chance.choice((0, 1, 4, 30))):
            await asyncio.sleep(0)


class KilledError(BaseException):
    """The process is gone: nothing catches this."""


@dataclass
class Mortal(Turns):
    """Ends the process at the given call, counted from 1: before it had its effect, or after."""

    at: int = 0
    calls: int = 0

    async def take(self) -> None:
        self.calls += 1
        if self.calls == self.at:
            raise KilledError


@dataclass
class Collections:
    """`VectorStore` and `BackfillStore` over collections by name."""

    live: LiveCollection
    turns: Turns
    by_name: dict[str, InMemoryVectorStore] = field(default_factory=dict)
    coverage: dict[str, Coverage] = field(default_factory=dict)

    def create(self, collection: LiveCollection) -> None:
        self.by_name[collection.name] = InMemoryVectorStore(live=collection)

    @property
    def points(self) -> dict[str, dict[str, Any]]:
        """The payloads of the live collection, by key."""
        return {key: point.payload for key, point in self.by_name[self.live.name].points.items()}

    async def live_collection(self) -> LiveCollection:
        await self.turns.take()
        return self.live

    async def stored_points(self, collection: str, keys: Sequence[str]) -> Mapping[str, StoredPoint]:
        await self.turns.take()
        return await self.by_name[collection].stored_points(collection, keys)

    async def upsert(self, collection: str, documents: Sequence[Document]) -> None:
        await self.turns.take()
        await self.by_name[collection].upsert(collection, documents)
        await self.turns.take()

    async def insert(self, collection: str, documents: Sequence[Document]) -> None:
        await self.turns.take()
        there = self.by_name[collection].points
        await self.by_name[collection].upsert(collection, [d for d in documents if d.key not in there])
        await self.turns.take()

    async def overwrite_payloads(self, collection: str, documents: Sequence[Document]) -> None:
        await self.turns.take()
        await self.by_name[collection].overwrite_payloads(collection, documents)

    async def delete(self, collection: str, deletions: Sequence[Deletion]) -> None:
        await self.turns.take()
        await self.by_name[collection].delete(collection, deletions)
        await self.turns.take()

    async def probe(self, collection: str) -> None:
        await self.by_name[collection].probe(collection)

    async def payloads(self, collection: str, keys: Sequence[str]) -> dict[str, dict[str, Any]]:
        await self.turns.take()
        points = self.by_name[collection].points
        return {key: points[key].payload for key in keys if key in points}

    async def vectors(self, collection: str, keys: Sequence[str]) -> dict[str, tuple[str | None, Vectors]]:
        await self.turns.take()
        points = self.by_name[collection].points
        return {
            key: (points[key].provenance["embedding_fingerprint"], points[key].vectors) for key in keys if key in points
        }

    @property
    def collections(self) -> "Collections":
        return self

    async def create_collection(
        self, name: str, recipe: Recipe, coverage: Coverage | None = None, *, hnsw: Hnsw | None = None
    ) -> None:
        self.create(LiveCollection(name=name, recipe=recipe))
        if coverage:
            self.coverage[name] = coverage
        await self.turns.take()

    async def all(self) -> list[CollectionState]:
        return [
            CollectionState(
                name=name,
                live=name == self.live.name,
                points=len(store.points),
                recipe=store.live.recipe,
                coverage=self.coverage.get(name),
            )
            for name, store in sorted(self.by_name.items())
        ]

    async def ensure_indexes(self, name: str) -> None:
        assert name in self.by_name

    async def set_coverage(self, name: str, coverage: Coverage) -> None:
        await self.turns.take()
        self.coverage[name] = coverage
        await self.turns.take()

    async def point_alias(self, collection: str) -> None:
        await self.turns.take()
        self.live = self.by_name[collection].live
        await self.turns.take()

    async def scroll_keys(self, collection: str) -> AsyncIterator[list[str | None]]:
        yield list(self.by_name[collection].points)


@dataclass
class GrowingLog:
    """`ChangeLog` of partition 0: the first `visible` of its records are there by now."""

    records: list[Record]
    visible: int

    async def high_watermarks(self) -> dict[int, int]:
        return {0: self.visible}

    async def read(self, starts: Mapping[int, int], ends: Mapping[int, int]) -> AsyncIterator[list[Record]]:
        for record in self.records[starts[0] : ends[0]] if starts else ():
            yield [record]
