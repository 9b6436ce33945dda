"""Searches the live collection: embeds the query by the collection's own recipe, then asks Qdrant."""

from collections.abc import Sequence, Set
from functools import partial
from typing import Protocol

from connectors.embedder import FastEmbedders
from connectors.qdrant import QdrantStore
from ops.fresh_search import Rows, confirm
from ops.query_vectors import QueryVectors
from schemas.collection import LiveCollection
from schemas.document import Vectors
from schemas.ranking import Candidate, Halves
from schemas.search import FacetCount, FacetField, Filters, Hit, SearchAnswer, SearchQuery


class SearchIndex(Protocol):
    """What a search needs of Qdrant; `connectors.qdrant.QdrantStore` says what each call promises."""

    async def live_collection(self) -> LiveCollection:
        """The collection behind the alias now."""
        ...

    async def halves(
        self,
        collection: str,
        query: SearchQuery,
        vectors: Vectors,
        *,
        without: Set[str] = frozenset(),
        with_keys: bool = False,
    ) -> Halves:
        """What each half finds."""
        ...

    async def hits(self, collection: str, candidates: Sequence[Candidate]) -> list[Hit]:
        """The candidates with what their points hold."""
        ...

    async def facets(
        self, collection: str, fields: Sequence[FacetField], filters: Filters
    ) -> dict[FacetField, list[FacetCount]]:
        """Counts of values."""
        ...


class SearchService:
    """Answers searches for as long as a server runs. Any part may be away when it starts."""

    def __init__(self, index: SearchIndex, vectors: QueryVectors, rows: Rows) -> None:
        self._index = index
        self._vectors = vectors
        self._rows = rows

    async def search(
        self, query: SearchQuery, *, fresh: bool = False, facets: Sequence[FacetField] = ()
    ) -> SearchAnswer:
        """One page of hits. The alias is looked up once, so that recipe, points and counts belong together.

        On an index that does not change, pages neither repeat a hit nor leave one out. A `fresh` search shows only
        products that exist and meet the filters in Postgres at that moment, with their present values: neither a price
        nor a delete that has not reached the index can show. Their order, and what is found at all, is the index's.

        Raises:
            VectorStoreError: Qdrant refused or cannot be reached.
            SourceError: A fresh search cannot read Postgres.
            EmbeddingError: The recipe's model cannot be loaded, or too many queries wait for it (`SearchBusyError`).
        """
        live = await self._index.live_collection()
        answer = await self._page(live, query, fresh)
        if not facets:
            return answer
        counts = await self._index.facets(live.name, facets, query.filters)
        return answer.model_copy(update={"facets": counts})

    async def _page(self, live: LiveCollection, query: SearchQuery, fresh: bool) -> SearchAnswer:
        vectors = await self._vectors.of(query.text, live.recipe)
        page = slice(query.offset, query.offset + query.limit)
        if not fresh:
            halves = await self._index.halves(live.name, query, vectors)
            return SearchAnswer(hits=await self._index.hits(live.name, halves.in_order()[page]))
        find = partial(self._index.halves, live.name, query, vectors, with_keys=True)
        confirmed = await confirm(find, self._rows, query.filters)
        hits = await self._index.hits(live.name, confirmed.candidates[page])
        return SearchAnswer(
            hits=[hit.showing(confirmed.rows[hit.article_id]) for hit in hits],
            complete=confirmed.complete or len(hits) == query.limit,
        )


async def search(store: QdrantStore, embedders: FastEmbedders, query: SearchQuery) -> list[Hit]:
    """The hits, best first, for a single search. The collection is looked up once, as a `SearchService` does it.

    Raises:
        VectorStoreError: Qdrant refused or cannot be reached.
        EmbeddingError: The recipe's model cannot be loaded.
    """
    live = await store.live_collection()
    embedder = await embedders.for_recipe(live.recipe)
    return await store.search(live.name, query, await embedder.embed_query(query.text))
