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
    """Adds up what the workers did, over restarts: each process counts from nothing.

    `pages` gives the addresses of those that run.
    """

    def __init__(self, pages: Callable[[], Awaitable[tuple[str, ...]]]) -> None:
        self._pages = pages
        self._running: dict[str, dict[str, Any]] = {}
        self._ended: list[dict[str, Any]] = []

    async def look(self) -> None:
        """Read each worker's stats page, where it answers."""
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2)) as session:
            for page in await self._pages():
                try:
                    async with session.get(f"{page}/") as response:
                        self._note(await response.json())
                except (aiohttp.ClientError, TimeoutError):
                    continue

    def _note(self, stats: dict[str, Any]) -> None:
        before = self._running.get(stats["worker"])
        # Not by its pid: in a container that is the same after a restart.
        if before is not None and stats["uptime_seconds"] < before["uptime_seconds"]:
            self._ended.append(before)
        self._running[stats["worker"]] = stats

    def total(self, name: str) -> int:
        """The sum of a counter over all processes seen."""
        return sum(stats[name] for stats in self._all())

    def dead_letters(self) -> int:
        """Records set aside, by all processes seen."""
        return sum(sum(stats["dead_letters"].values()) for stats in self._all())

    def _all(self) -> list[dict[str, Any]]:
        return [*self._ended, *self._running.values()]
