"""Qdrant: guarded writes, provenance reads, and the collections behind the alias."""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from pydantic import ValidationError
from qdrant_client import AsyncQdrantClient, models
from qdrant_client.common.client_exceptions import QdrantException
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from connectors.qdrant_search import search_points
from schemas.collection import LiveCollection
from schemas.document import (
    DENSE_VECTOR,
    FINGERPRINT_FIELD,
    KEYWORD_FILTERS,
    PROVENANCE,
    SPARSE_VECTOR,
    VERSION_FIELD,
    Deletion,
    Document,
    StoredPoint,
    Vectors,
    point_id,
)
from schemas.errors import ErrorKind, VectorStoreError
from schemas.product import TEXT_COLUMNS
from schemas.recipe import Recipe
from schemas.search import Hit, SearchQuery

PROBE_KEY = "\0probe"
"""No row has this key: Postgres stores no NUL in a text."""

REQUEST_BYTES = 8 * 1024 * 1024
POINT_BYTES = 12 * 1024
"""About what vectors, provenance and the point's own condition take."""

METADATA_RECIPE = "lockstep_recipe"


@asynccontextmanager
async def open_client(url: str, *, api_key: str | None, timeout_seconds: float) -> AsyncIterator[AsyncQdrantClient]:
    """A client that is closed at the end; it connects at its first call."""
    client = AsyncQdrantClient(
        url=url, api_key=api_key, timeout=max(1, round(timeout_seconds)), check_compatibility=False
    )
    try:
        yield client
    finally:
        await client.close()


class QdrantStore:
    """`streams.ports.VectorStore` on a Qdrant server.

    Writes go to a concrete collection, never through the alias: in a swap a batch would be split between two. Every
    write waits until it is applied, carries its own version condition, and may be repeated.
    """

    def __init__(self, client: AsyncQdrantClient, *, alias: str) -> None:
        self._client = client
        self._alias = alias
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
            self._recipes[name] = _recipe_of(name, info.config.metadata)
        return LiveCollection(name=name, recipe=self._recipes[name])

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
        with reading("read points of", collection):
            points = await self._client.retrieve(
                collection, ids=list(ids), with_payload=[PROVENANCE], with_vectors=False
            )
        return {ids[str(point.id)]: _stored((point.payload or {}).get(PROVENANCE)) for point in points}

    async def upsert(self, collection: str, documents: Sequence[Document]) -> None:
        """Write points whole, one clause a point: each is judged by its own version."""
        for part in _requests(documents):
            points = [
                models.PointStruct(id=point_id(d.key), vector=_named_vectors(d), payload=d.payload()) for d in part
            ]
            newer = models.Filter(must_not=[_newer(d.key, d.provenance.version) for d in part])
            with translated("write points of", collection):
                await self._client.upsert(collection, points=points, update_filter=newer, wait=True)

    async def overwrite_payloads(self, collection: str, documents: Sequence[Document]) -> None:
        """Replace payloads whole, by filter; the vectors stay.

        The fingerprint is part of the condition, so that at a cut-over a payload cannot land on a vector of an older
        text.
        """
        for part in _requests(documents):
            with translated("write points of", collection):
                await self._client.batch_update_points(
                    collection, update_operations=[_overwrite(document) for document in part], wait=True
                )

    async def delete(self, collection: str, deletions: Sequence[Deletion]) -> None:
        """Remove points by one filter with a clause a point."""
        clauses: list[models.Condition] = [
            models.Filter(must=[models.HasIdCondition(has_id=[point_id(d.key)])], must_not=[_above(d.version)])
            for d in deletions
        ]
        with translated("write points of", collection):
            await self._client.delete(
                collection, points_selector=models.FilterSelector(filter=models.Filter(should=clauses)), wait=True
            )

    async def probe(self, collection: str) -> None:
        """Write a point of no row and remove it."""
        with translated("write points of", collection):
            info = await self._client.get_collection(collection)
            dimensions = _recipe_of(collection, info.config.metadata).dimensions
            probe = models.PointStruct(
                id=point_id(PROBE_KEY), vector={DENSE_VECTOR: [1.0] + [0.0] * (dimensions - 1)}, payload={}
            )
            await self._client.upsert(collection, points=[probe], wait=True)
            await self._client.delete(collection, points_selector=[probe.id], wait=True)

    async def create_collection(self, name: str, recipe: Recipe) -> None:
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
                metadata={METADATA_RECIPE: recipe.model_dump(mode="json")},
            )
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

    async def search(self, collection: str, query: SearchQuery, vectors: Vectors) -> list[Hit]:
        """The hits of a query from its offset on, best first; `vectors` are the query's, by the collection's recipe."""
        with reading("search", collection):
            return await search_points(self._client, collection, query, vectors)

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


def payload_indexes() -> dict[str, models.PayloadSchemaType]:
    """The fields that filters use; strict mode refuses guarded writes on a version without an index."""
    return {
        **dict.fromkeys(KEYWORD_FILTERS, models.PayloadSchemaType.KEYWORD),
        "article_id": models.PayloadSchemaType.KEYWORD,
        "price": models.PayloadSchemaType.FLOAT,
        VERSION_FIELD: models.PayloadSchemaType.INTEGER,
        FINGERPRINT_FIELD: models.PayloadSchemaType.KEYWORD,
    }


@contextmanager
def translated(operation: str, subject: str) -> Iterator[None]:
    """Turn the client's errors into `VectorStoreError` with the kind that `streams.retry_policy` needs."""
    what = f"cannot {operation} {subject}"
    try:
        yield
    except UnexpectedResponse as error:
        raise _refusal(what, error.status_code or 0, error.content) from error
    except (ResponseHandlingException, QdrantException, OSError, ValueError, AssertionError) as error:
        cause = error.source if isinstance(error, ResponseHandlingException) else error
        # The client asserts and parses what it gets: an answer of a proxy looks like this.
        if isinstance(cause, ValueError | AssertionError):
            raise VectorStoreError(f"{what}: qdrant gave an answer that is not its own") from error
        reason = str(cause) or type(cause).__name__
        raise VectorStoreError(
            f"{what}: {reason[:200]}", hint="check LOCKSTEP_QDRANT_URL, and that Qdrant runs (lockstep up)"
        ) from error


@contextmanager
def reading(operation: str, subject: str) -> Iterator[None]:
    """As `translated`, for reads: no record is to blame for one, so that a refusal is an outage."""
    try:
        with translated(operation, subject):
            yield
    except VectorStoreError as error:
        if error.kind is not ErrorKind.PERMANENT:
            raise
        raise VectorStoreError(str(error), kind=ErrorKind.OUTAGE, hint=error.hint) from error


def _refusal(what: str, status: int, content: bytes) -> VectorStoreError:
    message = f"{what}: qdrant answered {status}: {content.decode(errors='replace')[:300]}"
    match status:
        case 401 | 403:
            hint = "set LOCKSTEP_QDRANT_API_KEY to a key that may write"
            return VectorStoreError(message, kind=ErrorKind.OUTAGE, hint=hint)
        case 404:
            return VectorStoreError(message, kind=ErrorKind.OUTAGE, hint="lockstep collections create")
        case _ if status in (408, 425, 429) or status >= 500:
            return VectorStoreError(message)
        case _:
            return VectorStoreError(message, kind=ErrorKind.PERMANENT)


def _recipe_of(collection: str, metadata: Mapping[str, Any] | None) -> Recipe:
    try:
        return Recipe.model_validate((metadata or {})[METADATA_RECIPE])
    except (KeyError, ValidationError) as error:
        raise VectorStoreError(
            f"collection {collection} does not say how it was made",
            kind=ErrorKind.OUTAGE,
            hint="point the alias at a collection made by: lockstep collections create",
        ) from error


def _stored(provenance: Any) -> StoredPoint:
    fields = provenance if isinstance(provenance, dict) else {}
    return StoredPoint(
        version=fields.get("version"),
        recipe=fields.get("recipe"),
        embedding_fingerprint=fields.get("embedding_fingerprint"),
        row_hash=fields.get("row_hash"),
    )


def _named_vectors(document: Document) -> dict[str, Any]:
    vectors = document.vectors
    if vectors is None:
        raise ValueError(f"no vectors for {document.key}")
    # Both vectors every time: on some servers an upsert without one keeps the old one.
    return {
        DENSE_VECTOR: vectors.dense,
        SPARSE_VECTOR: models.SparseVector(indices=vectors.sparse_indices, values=vectors.sparse_values),
    }


def _overwrite(document: Document) -> models.UpdateOperation:
    fingerprint = models.FieldCondition(
        key=FINGERPRINT_FIELD, match=models.MatchValue(value=document.provenance.embedding_fingerprint)
    )
    condition = models.Filter(
        must=[models.HasIdCondition(has_id=[point_id(document.key)]), fingerprint],
        must_not=[_above(document.provenance.version)],
    )
    return models.OverwritePayloadOperation(
        overwrite_payload=models.SetPayload(payload=document.payload(), filter=condition)
    )


def _requests(documents: Sequence[Document]) -> Iterator[list[Document]]:
    """Parts of a batch that are small enough: a server refuses a body above 32 MiB, some by closing the connection."""
    part: list[Document] = []
    size = 0
    for document in documents:
        row = document.row
        length = POINT_BYTES + sum(len(text) for name in TEXT_COLUMNS if (text := getattr(row, name)))
        if part and size + length > REQUEST_BYTES:
            yield part
            part, size = [], 0
        part.append(document)
        size += length
    if part:
        yield part


def _above(version: int) -> models.FieldCondition:
    return models.FieldCondition(key=VERSION_FIELD, range=models.Range(gt=version))


def _newer(key: str, version: int) -> models.Condition:
    # `must_not: version > mine`, since a point without the field matches no range and could never be written again.
    return models.Filter(must=[models.HasIdCondition(has_id=[point_id(key)]), _above(version)])
