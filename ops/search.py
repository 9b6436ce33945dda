"""Searches the live collection: embeds the query by the collection's own recipe, then asks Qdrant once."""

from connectors.embedder import FastEmbedders
from connectors.qdrant import QdrantStore
from schemas.search import Hit, SearchQuery


async def search(store: QdrantStore, embedders: FastEmbedders, query: SearchQuery) -> list[Hit]:
    """The hits, best first. The collection is looked up once, so that recipe and points belong together.

    Raises:
        VectorStoreError: Qdrant refused or cannot be reached.
        EmbeddingError: The recipe's model cannot be loaded.
    """
    live = await store.live_collection()
    embedder = await embedders.for_recipe(live.recipe)
    return await store.search(live.name, query, await embedder.embed_query(query.text))
