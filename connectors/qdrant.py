"""Qdrant: guarded writes, provenance reads, and the collections behind the alias."""

from collections.abc import AsyncIterator, Mapping, Sequence, Set
from contextlib import asynccontextmanager
from typing import Any, NotRequired, TypeVar

import httpx
import orjson
from qdrant_client import AsyncQdrantClient, models
from typing_extensions import TypedDict  # pydantic asks for this one before Python 3.12

from connectors.qdrant_collections import QdrantCollections, metadata_of, recipe_of
from connectors.qdrant_errors import reading, translated
from connectors.qdrant_requests import (
    Json,
    none_newer,
    overwrite_payload,
    parts_of,
    payload_indexes,
    points_of,
    removals,
    vectors_of,
)
from connectors.qdrant_search import count_values, find_halves, read_hits
from schemas.collection import Coverage, Hnsw, LiveCollection, WriteOrdering
from schemas.document import (
    DENSE_VECTOR,
    FINGERPRINT_FIELD,
    PROVENANCE,
    SPARSE_VECTOR,
    Deletion,
    Document,
    StoredPoint,
    Vectors,
    point_id,
)
from schemas.errors import ErrorKind, VectorStoreError
from schemas.ranking import Candidate, Halves
from schemas.recipe import Recipe
from schemas.search import FacetCount, FacetField, Filters, Hit, SearchQuery

PROBE_KEY = "\0probe"
"""No row has this key: Postgres stores no NUL in a text."""


_LIMITS = httpx.Limits(max_connections=100, max_keepalive_connections=20, keepalive_expiry=2.0)
"""By default the client connects anew for each request to 127.0.0.1. Elsewhere it keeps a connection for five seconds,
as servers do: one that is used again as the server closes it fails."""


@asynccontextmanager
async def open_client(url: str, *, api_key: str | None, timeout_seconds: float) -> AsyncIterator[AsyncQdrantClient]:
    """A client that is closed at the end; it connects at its first call."""
    client = AsyncQdrantClient(
        url=url,
        api_key=api_key,
        timeout=max(1, round(timeout_seconds)),
        limits=_LIMITS,
        check_compatibility=False,
    )
    try:
        yield client
    finally:
        await client.close()


class _Point(TypedDict):
    id: str | int
    payload: NotRequired[dict[str, Any] | None]


class _Retrieved(TypedDict):
    result: list[_Point]


class _Written(TypedDict):
    status: str


Answer = TypeVar("Answer", _Retrieved, _Written)


class QdrantStore:
    """`streams.ports.VectorStore` on a Qdrant server.

    Writes go to a concrete collection, never through the alias: in a swap a batch would be split between two. Every
    write waits until it is applied, carries its own version condition, and may be repeated.
    """

    def __init__(self, client: AsyncQdrantClient, *, alias: str, write_ordering: WriteOrdering = "weak") -> None:
        self._client = client
        self._alias = alias
        self._write_ordering = write_ordering
        self._recipes: dict[str, Recipe] = {}

    async def live_collection(self) -> LiveCollection:
        """Look the alias up; a collection's recipe never changes, so it is read once a name.

        Raises:
            VectorStoreError: An outage when the alias is missing or its collection was not made by Lockstep.
        """
        name = await self._alias_target()
        if name is None:
            raise VectorStoreError(
                f"alias {self._alias} does not exist in qdrant",
                kind=ErrorKind.OUTAGE,
                hint="lockstep collections create",
            )
        if name not in self._recipes:
            with reading("read recipe", name):
                info = await self._client.get_collection(name)
            self._recipes[name] = recipe_of(name, info.config.metadata)
        return LiveCollection(name=name, recipe=self._recipes[name])

    @property
    def write_ordering(self) -> models.WriteOrdering:
        """What each write asks for."""
        return models.WriteOrdering(self._write_ordering)

    def pinned(self, collection: LiveCollection) -> "QdrantStore":
        """The same store with this collection in the place of the live one: to look at it before it goes live."""
        return _PinnedStore(self._client, alias=self._alias, write_ordering=self._write_ordering, collection=collection)

    @property
    def collections(self) -> QdrantCollections:
        """All collections of the alias, the live one and the others."""
        return QdrantCollections(self._client, alias=self._alias)

    async def alias_is_free(self) -> bool:
        """Whether nothing stands behind the alias yet."""
        return await self._alias_target() is None

    async def _alias_target(self) -> str | None:
        with reading("look up alias", self._alias):
            aliases = (await self._client.get_aliases()).aliases
        return next((a.collection_name for a in aliases if a.alias_name == self._alias), None)

    async def stored_points(self, collection: str, keys: Sequence[str]) -> Mapping[str, StoredPoint]:
        """Read the provenance of these keys' points in one request."""
        ids = {point_id(key): key for key in keys}
        wanted = {"ids": list(ids), "with_payload": [PROVENANCE], "with_vector": False}
        with reading("read points of", collection):
            found = await self._request(_Retrieved, "POST", "points", collection, wanted)
        return {
            ids[str(point["id"])]: _stored((point.get("payload") or {}).get(PROVENANCE)) for point in found["result"]
        }

    async def upsert(self, collection: str, documents: Sequence[Document]) -> None:
        """Write points whole, one clause a point: each is judged by its own version."""
        for part in parts_of(documents):
            await self._write(
                "PUT", "points", collection, {"points": points_of(part), "update_filter": none_newer(part)}
            )

    async def insert(self, collection: str, documents: Sequence[Document]) -> None:
        """Write points that are not there yet, whole; one that is there is left alone, whatever it holds.

        Costs the server a quarter less than `upsert`: no point is judged by its version.
        """
        for part in parts_of(documents):
            await self._write("PUT", "points", collection, {"points": points_of(part), "update_mode": "insert_only"})

    async def overwrite_payloads(self, collection: str, documents: Sequence[Document]) -> None:
        """Replace payloads whole, by filter; the vectors stay.

        The fingerprint is part of the condition, so that at a cut-over a payload cannot land on a vector of an older
        text.
        """
        for part in parts_of(documents):
            operations = [overwrite_payload(document) for document in part]
            await self._write("POST", "points/batch", collection, {"operations": operations})

    async def delete(self, collection: str, deletions: Sequence[Deletion]) -> None:
        """Remove points by one filter with a clause a point."""
        await self._write("POST", "points/delete", collection, {"filter": removals(deletions)})

    async def _write(self, method: str, path: str, collection: str, body: Json) -> None:
        """Returns once it is applied."""
        with translated("write points of", collection):
            await self._request(_Written, method, path, collection, body, wait="true", ordering=self._write_ordering)

    async def _request(
        self, answer: type[Answer], method: str, path: str, collection: str, body: Json, **parameters: str
    ) -> Answer:
        return await self._client.http.client.request(
            type_=answer,
            method=method,
            url=f"/collections/{{collection_name}}/{path}",
            path_params={"collection_name": collection},
            params=parameters,
            headers={"Content-Type": "application/json"},
            content=orjson.dumps(body),
        )

    async def probe(self, collection: str) -> None:
        """Write a point of no row and remove it."""
        with translated("write points of", collection):
            info = await self._client.get_collection(collection)
            dimensions = recipe_of(collection, info.config.metadata).dimensions
            probe = models.PointStruct(
                id=point_id(PROBE_KEY), vector={DENSE_VECTOR: [1.0] + [0.0] * (dimensions - 1)}, payload={}
            )
            await self._client.upsert(collection, points=[probe], wait=True, ordering=self.write_ordering)
            await self._client.delete(collection, points_selector=[probe.id], wait=True, ordering=self.write_ordering)

    async def create_collection(
        self, name: str, recipe: Recipe, coverage: Coverage | None = None, *, hnsw: Hnsw | None = None
    ) -> None:
        """Create a collection for a recipe, with its payload indexes; it is not yet behind the alias.

        Raises:
            VectorStoreError: Permanent when the name is taken.
        """
        with translated("create collection", name):
            await self._client.create_collection(
                name,
                vectors_config={
                    DENSE_VECTOR: models.VectorParams(size=recipe.dimensions, distance=models.Distance(recipe.distance))
                },
                sparse_vectors_config={SPARSE_VECTOR: models.SparseVectorParams(modifier=models.Modifier.IDF)},
                hnsw_config=models.HnswConfigDiff(m=hnsw.m, ef_construct=hnsw.ef_construct) if hnsw else None,
                metadata=metadata_of(recipe, coverage),
            )
        await self.ensure_indexes(name)

    async def ensure_indexes(self, name: str) -> None:
        """Create the payload indexes that a collection lacks: whoever created it may not have come so far."""
        with translated("index", name):
            for field, schema in payload_indexes().items():
                await self._client.create_payload_index(name, field_name=field, field_schema=schema, wait=True)

    async def point_alias(self, collection: str) -> None:
        """Move the alias to the collection in one step, or create it there."""
        operation = models.CreateAliasOperation(
            create_alias=models.CreateAlias(collection_name=collection, alias_name=self._alias)
        )
        with translated(f"move alias {self._alias} to", collection):
            await self._client.update_collection_aliases(change_aliases_operations=[operation])

    async def count(self, collection: str) -> int:
        """The exact number of points."""
        with reading("read points of", collection):
            return (await self._client.count(collection, exact=True)).count

    async def payloads(self, collection: str, keys: Sequence[str]) -> dict[str, dict[str, Any]]:
        """The whole payloads of these keys' points; a missing point is absent."""
        ids = {point_id(key): key for key in keys}
        with reading("read points of", collection):
            points = await self._client.retrieve(collection, ids=list(ids), with_payload=True, with_vectors=False)
        return {ids[str(point.id)]: point.payload or {} for point in points}

    async def vectors(self, collection: str, keys: Sequence[str]) -> dict[str, tuple[str | None, Vectors]]:
        """The embedding fingerprint and the vectors of these keys' points; a missing point is absent.

        Vectors come as Qdrant keeps them: those of a cosine collection are normalised.
        """
        ids = {point_id(key): key for key in keys}
        with reading("read vectors of", collection):
            points = await self._client.retrieve(
                collection, ids=list(ids), with_payload=[FINGERPRINT_FIELD], with_vectors=True
            )
        found = {ids[str(point.id)]: (point, vectors_of(point)) for point in points}
        return {
            key: (_stored((point.payload or {}).get(PROVENANCE)).embedding_fingerprint, vectors)
            for key, (point, vectors) in found.items()
            if vectors is not None
        }

    async def search(self, collection: str, query: SearchQuery, vectors: Vectors) -> list[Hit]:
        """The hits of a query from its offset on, best first; `vectors` are the query's, by the collection's recipe."""
        candidates = (await self.halves(collection, query, vectors)).in_order()
        return await self.hits(collection, candidates[query.offset : query.offset + query.limit])

    async def halves(
        self,
        collection: str,
        query: SearchQuery,
        vectors: Vectors,
        *,
        without: Set[str] = frozenset(),
        with_keys: bool = False,
    ) -> Halves:
        """What each half of a search finds, less the points in `without`; `with_keys` brings their `article_id` too."""
        with reading("search", collection):
            return await find_halves(self._client, collection, query, vectors, without=without, with_keys=with_keys)

    async def hits(self, collection: str, candidates: Sequence[Candidate]) -> list[Hit]:
        """The candidates in their order, with what their points hold; a point that is gone by now is left out."""
        with reading("read hits of", collection):
            return await read_hits(self._client, collection, candidates)

    async def facets(
        self, collection: str, fields: Sequence[FacetField], filters: Filters
    ) -> dict[FacetField, list[FacetCount]]:
        """How many points that meet the filters have each value of these columns; exact, one request a column."""
        with reading("count values in", collection):
            return {field: await count_values(self._client, collection, field, filters) for field in fields}

    async def scroll_keys(self, collection: str, *, page: int = 1000) -> AsyncIterator[list[str | None]]:
        """The `article_id` of every point, by pages in the order of point ids; None for a point without one."""
        offset: Any = None
        while True:
            with reading("read points of", collection):
                points, offset = await self._client.scroll(
                    collection, limit=page, offset=offset, with_payload=["article_id"], with_vectors=False
                )
            if points:
                yield [(point.payload or {}).get("article_id") for point in points]
            if offset is None:
                return


class _PinnedStore(QdrantStore):
    def __init__(
        self, client: AsyncQdrantClient, *, alias: str, write_ordering: WriteOrdering, collection: LiveCollection
    ) -> None:
        super().__init__(client, alias=alias, write_ordering=write_ordering)
        self._pinned = collection

    async def live_collection(self) -> LiveCollection:
        """The pinned one."""
        return self._pinned


def _stored(provenance: Any) -> StoredPoint:
    fields = provenance if isinstance(provenance, dict) else {}
    version = fields.get("version")
    return StoredPoint(
        version=version if type(version) is int else None,  # whatever else somebody wrote there is no version
        recipe=fields.get("recipe"),
        embedding_fingerprint=fields.get("embedding_fingerprint"),
        row_hash=fields.get("row_hash"),
    )
