"""The vectors of queries: kept for those asked lately, made once for those asked at the same time."""

import asyncio
from collections import OrderedDict
from typing import Protocol

from schemas.document import Vectors
from schemas.errors import EmbeddingError, ErrorKind
from schemas.recipe import Recipe

CACHED = 1000
"""Queries whose vectors are kept: about 12 MB at 384 dimensions."""

WAITING = 64
"""Different queries that may wait for the model at once: at 3 ms each, the last of them waits 0.2 s."""

_Key = tuple[str, str]


class QueryEmbedder(Protocol):
    """One recipe's model."""

    async def embed_query(self, text: str) -> Vectors:
        """The vectors to search with."""
        ...


class QueryEmbedders(Protocol):
    """The models at hand."""

    async def for_recipe(self, recipe: Recipe) -> QueryEmbedder:
        """The recipe's model, loaded at its first use."""
        ...


class SearchBusyError(EmbeddingError):
    """Too many queries wait for the model: ask again in a moment."""

    default_kind = ErrorKind.TRANSIENT


class QueryVectors:
    """Embeds queries by a collection's recipe. Memory and the queue for the model are bounded.

    The model runs on the embedders' own thread. A query that is asked again while it is being embedded waits for the
    same vectors, and a caller that goes away does not take them from the others.
    """

    def __init__(self, embedders: QueryEmbedders, *, cached: int = CACHED, waiting: int = WAITING) -> None:
        self._embedders = embedders
        self._most_cached = cached
        self._most_waiting = waiting
        self._cache: OrderedDict[_Key, Vectors] = OrderedDict()
        self._in_progress: dict[_Key, asyncio.Task[Vectors]] = {}

    async def of(self, text: str, recipe: Recipe) -> Vectors:
        """The query's vectors.

        Raises:
            SearchBusyError: The queue is full.
            EmbeddingError: The model cannot be had, or refuses the text; it is asked again at the next call.
        """
        key = (recipe.recipe_id, text)
        if (known := self._cache.get(key)) is not None:
            self._cache.move_to_end(key)
            return known
        task = self._in_progress.get(key)
        if task is None:
            if len(self._in_progress) >= self._most_waiting:
                raise SearchBusyError(f"cannot embed query: {self._most_waiting} others wait for the model")
            task = asyncio.create_task(self._embed(key, recipe))
            self._in_progress[key] = task
            task.add_done_callback(lambda done: self._ended(key, done))
        return await asyncio.shield(task)

    async def close(self) -> None:
        """Let go of what is still being embedded; whoever waits for it is cancelled."""
        tasks = list(self._in_progress.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _embed(self, key: _Key, recipe: Recipe) -> Vectors:
        _, text = key
        return await (await self._embedders.for_recipe(recipe)).embed_query(text)

    def _ended(self, key: _Key, task: asyncio.Task[Vectors]) -> None:
        del self._in_progress[key]
        # Asking for the exception also tells asyncio that it was seen, should every caller have gone away.
        if task.cancelled() or task.exception() is not None:
            return
        self._cache[key] = task.result()
        while len(self._cache) > self._most_cached:
            self._cache.popitem(last=False)
