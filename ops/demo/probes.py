"""Looks at the running pipeline from outside: what a search shows, what the workers have done."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp

from connectors.embedder import FastEmbedder
from connectors.qdrant import QdrantStore
from schemas.collection import LiveCollection
from schemas.document import Vectors
from schemas.search import Hit, SearchMode, SearchQuery

LOOK_EVERY_SECONDS = 0.01
PATIENCE_SECONDS = 60.0


class SearchProbe:
    """Searches one collection; a query's vectors are made once, so that looking again costs one request."""

    def __init__(self, store: QdrantStore, live: LiveCollection, embedder: FastEmbedder) -> None:
        self.store = store
        self.live = live
        self._embedder = embedder
        self._vectors: dict[str, Vectors] = {}

    async def search(self, query: SearchQuery) -> list[Hit]:
        """The hits of the query."""
        if query.text not in self._vectors:
            self._vectors[query.text] = await self._embedder.embed_query(query.text)
        return await self.store.search(self.live.name, query, self._vectors[query.text])

    async def count(self) -> int:
        """How many points there are."""
        return await self.store.count(self.live.name)

    async def milliseconds_until(
        self, act: Callable[[], Awaitable[object]], text: str, shown: Callable[[list[Hit]], bool]
    ) -> float:
        """Do something, and search until the hits are as wanted.

        Raises:
            TimeoutError: They were not within a minute.
        """
        query = SearchQuery(text=text, mode=SearchMode.HYBRID)
        await self.search(query)
        started = time.monotonic()
        await act()
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not shown(await self.search(query)):
                await asyncio.sleep(LOOK_EVERY_SECONDS)
        return (time.monotonic() - started) * 1000


class WorkerStats:
    """Adds up what the workers did, over restarts: each process counts from nothing."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._latest: dict[int, dict[str, Any]] = {}

    async def look(self) -> bool:
        """Read the worker's stats page; False when it does not answer."""
        try:
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2)) as session,
                session.get(f"{self._url}/") as response,
            ):
                stats = await response.json()
        except (aiohttp.ClientError, TimeoutError):
            return False
        self._latest[stats["pid"]] = stats
        return True

    def total(self, name: str) -> int:
        """The sum of a counter over all processes seen."""
        return sum(stats[name] for stats in self._latest.values())

    def dead_letters(self) -> int:
        """Records set aside, by all processes seen."""
        return sum(sum(stats["dead_letters"].values()) for stats in self._latest.values())
