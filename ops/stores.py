"""Opens connectors from settings."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from connectors.embedder import FastEmbedders
from connectors.postgres import Postgres
from connectors.qdrant import QdrantStore, open_client
from ops.settings import Settings


@asynccontextmanager
async def open_store(settings: Settings) -> AsyncIterator[QdrantStore]:
    """Qdrant, as the settings say; closed at the end."""
    q = settings.qdrant
    api_key = q.api_key.get_secret_value() if q.api_key else None
    async with open_client(q.url, api_key=api_key, timeout_seconds=q.timeout_seconds) as client:
        yield QdrantStore(client, alias=q.alias, write_ordering=q.write_ordering)


def open_embedders(settings: Settings, *, threads: int | None = None) -> FastEmbedders:
    """The models at hand; each is loaded at its first use. `threads` holds where the settings name no number."""
    return FastEmbedders(threads=settings.embedding.threads or threads, batch_size=settings.embedding.batch_size)


@asynccontextmanager
async def open_rows(
    settings: Settings, *, connect_now: bool = True, timeout_seconds: float = 60.0
) -> AsyncIterator[Postgres]:
    """The catalogue in Postgres; closed at the end. A worker seldom needs it, and must start without it."""
    dsn = settings.postgres.dsn.get_secret_value()
    async with await Postgres.connect(dsn, connect_now=connect_now, timeout_seconds=timeout_seconds) as rows:
        yield rows
