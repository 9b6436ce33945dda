"""A whole pipeline in one process: rows, a topic, the real indexer, and Qdrant's own client in its local mode."""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

from qdrant_client import AsyncQdrantClient, models

from connectors.postgres import Postgres, UnreadableRowError
from connectors.qdrant import QdrantStore
from connectors.qdrant_audit import SeenPoint
from connectors.qdrant_collections import metadata_of
from connectors.qdrant_requests import Json
from ops.reconcile.vectors import VectorCheck
from schemas.debezium import ORPHAN_HEADER, decode_change
from schemas.document import DENSE_VECTOR, SPARSE_VECTOR, point_id
from schemas.product import Product
from schemas.recipe import Recipe
from schemas.record import Place, Record
from streams.counters import Counters
from streams.health import Health
from streams.indexer import Indexer
from tests.fakes.pipeline import CountingLease, FakeEmbedder, InMemoryTable, ListOfDeadLetters, RowsInMemory, Topic

COLLECTION = "products-1"
RECIPE = Recipe(dimensions=2)


@dataclass
class CatalogueRows:
    """`Postgres`, as far as reconciliation asks it."""

    rows: dict[str, Product] = field(default_factory=dict)
    unreadable: set[str] = field(default_factory=set)
    signalled: list[str] = field(default_factory=list)

    async def pages(self, limit: int, unreadable: list[UnreadableRowError]) -> AsyncIterator[list[Product]]:
        keys = sorted({*self.rows, *self.unreadable})
        for start in range(0, len(keys), limit):
            if page := list((await self.fetch_rows(keys[start : start + limit], unreadable)).values()):
                yield page

    async def fetch_rows(self, keys: Sequence[str], unreadable: list[UnreadableRowError]) -> dict[str, Product]:
        unreadable += [UnreadableRowError(key, "price is NaN") for key in keys if key in self.unreadable]
        return {key: self.rows[key] for key in keys if key in self.rows}

    async def existing_keys(self, keys: Sequence[str]) -> set[str]:
        return {*self.rows, *self.unreadable} & set(keys)

    async def sample_keys(self, share: float) -> list[str]:
        return sorted(self.rows)[: round(len(self.rows) * share)]

    async def signal_snapshot(self, keys: Sequence[str]) -> None:
        self.signalled += keys


@dataclass
class World:
    """`catalogue` is Postgres. What changes there reaches the topic at once, and the points when the world settles."""

    client: AsyncQdrantClient
    catalogue: CatalogueRows = field(default_factory=CatalogueRows)
    topic: Topic = field(default_factory=Topic)
    embedder: FakeEmbedder = field(default_factory=FakeEmbedder)
    table: InMemoryTable = field(default_factory=InMemoryTable)
    dead_letters: ListOfDeadLetters = field(default_factory=ListOfDeadLetters)
    refuses: set[str] = field(default_factory=set)
    """Keys whose records come with a price that no decoder takes."""
    settled: int = 0
    tombstones: int = 0
    noted: list[str] = field(default_factory=list)
    _applied: int = 0
    _snapshots: int = 0

    @property
    def rows(self) -> Postgres:
        return cast(Postgres, self.catalogue)

    @property
    def store(self) -> QdrantStore:
        return StoreInMemory(self.client, alias="products")

    async def check(self) -> VectorCheck:
        live = await self.store.live_collection()
        return VectorCheck(rows=self.rows, store=self.store, live=live, embedders=self.embedder)

    def insert(self, key: str, **columns: Any) -> None:
        self.catalogue.rows[key] = self._row_of(self.topic.create(key, **columns))

    def update(self, key: str, **columns: Any) -> None:
        self.catalogue.rows[key] = self._row_of(self.topic.update(key, **columns))

    def delete(self, key: str) -> None:
        del self.catalogue.rows[key]
        self.topic.delete(key)
        self.topic.tombstone(key)

    def lose_delete(self, key: str) -> None:
        """The row goes, and nothing captures it."""
        del self.catalogue.rows[key]

    async def settle(self) -> None:
        """Debezium reads what was signalled; the worker applies everything on the topic."""
        self.settled += 1
        for key in self.catalogue.signalled[self._snapshots :]:
            if key in self.catalogue.rows:
                price = {"price": "NaN"} if key in self.refuses else {}
                self.topic.read(key, **(_columns(self.catalogue.rows[key]) | price))
        self._snapshots = len(self.catalogue.signalled)
        indexer = Indexer(
            store=self.store,
            embedders=self.embedder,
            rows=RowsInMemory(),
            table=self.table,
            dead_letters=self.dead_letters,
            health=Health(),
            counters=Counters(),
        )
        if records := self.topic.records[self._applied :]:
            await indexer.apply(records, CountingLease())
        self._applied = len(self.topic.records)

    async def payload(self, key: str) -> dict[str, Any] | None:
        return (await self.store.payloads(COLLECTION, [key])).get(key)

    async def tamper(self, key: str, payload: dict[str, Any], inside: str | None = None) -> None:
        await self.client.set_payload(COLLECTION, payload=payload, points=[point_id(key)], key=inside)

    async def put(self, identity: str | int, payload: dict[str, Any], dense: tuple[float, float] = (1.0, 0.0)) -> None:
        vector: Any = {DENSE_VECTOR: list(dense), SPARSE_VECTOR: models.SparseVector(indices=[1], values=[1.0])}
        await self.client.upsert(COLLECTION, [models.PointStruct(id=identity, vector=vector, payload=payload)])

    async def remove(self, *keys: str) -> None:
        await self.client.delete(COLLECTION, [point_id(key) for key in keys])

    async def move_alias(self, collection: str) -> None:
        """To a new collection."""
        await _create(self.client, collection)

    async def ids(self) -> set[int | str]:
        points, _ = await self.client.scroll(COLLECTION, limit=10_000)
        return {point.id if isinstance(point.id, int) else str(point.id) for point in points}

    # What a repair needs besides: the log of orphans, the note, the dead letters.

    async def high_watermarks(self) -> dict[int, int]:
        return {0: len(self.topic.records)}

    async def write(self, orphans: Sequence[SeenPoint], seen: dict[int, int]) -> None:
        self.tombstones += len(orphans)
        for orphan in orphans:
            self.topic.append(orphan.key, None, ((ORPHAN_HEADER, str(seen[0]).encode()),))

    def begin(self, keys: Collection[str]) -> None:
        self.noted = list(keys)

    def unfinished(self) -> list[str]:
        return self.noted

    def end(self) -> None:
        self.noted = []

    async def watch(self) -> "World":
        return self

    async def places(self) -> Mapping[str, Place]:
        return {key: letter.record.place for letter in self.dead_letters.letters for key in self.refuses}

    def _row_of(self, record: Record) -> Product:
        row = decode_change(record, epoch=0).row
        assert row is not None
        return row


class StoreInMemory(QdrantStore):
    """What it sends as JSON, answered by the client's own stand-in for a server, which takes models alone."""

    async def _request(self, answer: Any, method: str, path: str, collection: str, body: Json, **_: str) -> Any:
        client = self._client
        match path:
            case "points" if method == "POST":
                found = await client.retrieve(collection, body["ids"], with_payload=body["with_payload"])
                return {"result": [point.model_dump() for point in found]}
            case "points":
                points = [models.PointStruct(**point) for point in body["points"]]
                await client.upsert(collection, points, update_filter=models.Filter(**body["update_filter"]))
            case "points/batch":
                operations = [models.OverwritePayloadOperation(**operation) for operation in body["operations"]]
                await client.batch_update_points(collection, operations)
            case "points/delete":
                await client.delete(collection, models.FilterSelector(**body))
        return {"status": "ok"}


@asynccontextmanager
async def world() -> AsyncIterator[World]:
    """An empty one."""
    client = AsyncQdrantClient(":memory:")
    await _create(client, COLLECTION)
    try:
        yield World(client)
    finally:
        await client.close()


async def _create(client: AsyncQdrantClient, collection: str) -> None:
    """A collection, and the alias moved to it."""
    await client.create_collection(
        collection,
        vectors_config={DENSE_VECTOR: models.VectorParams(size=2, distance=models.Distance.COSINE)},
        sparse_vectors_config={SPARSE_VECTOR: models.SparseVectorParams()},
        metadata=metadata_of(RECIPE, None),
    )
    alias = models.CreateAlias(collection_name=collection, alias_name="products")
    await client.update_collection_aliases([models.CreateAliasOperation(create_alias=alias)])


def _columns(row: Product) -> dict[str, Any]:
    """As Debezium writes them."""
    return row.payload() | {"price": row.payload()["price_text"]}
