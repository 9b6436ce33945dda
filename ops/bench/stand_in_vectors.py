"""Vectors that cost nothing: to fill a collection whose vectors' values do not matter."""

from collections.abc import Sequence

import numpy as np

from connectors.sparse_encoder import SparseEncoder
from ops.backfill.parts import open_backfill_parts
from ops.backfill.progress import Progress, Say
from ops.settings import Settings
from schemas.document import Vectors
from schemas.recipe import Recipe


class RandomVectors:
    """`streams.ports.Embedder`: random unit vectors of the recipe's dimensions, and the true sparse ones."""

    def __init__(self, recipe: Recipe, seed: int) -> None:
        self._random = np.random.default_rng(seed)
        self._dimensions = recipe.dimensions
        self._sparse = SparseEncoder(recipe.sparse)

    async def embed(self, texts: Sequence[str]) -> list[Vectors]:
        """Vectors in the order of the texts; the same text has others the next time."""
        dense = self._random.standard_normal((len(texts), self._dimensions)).astype(np.float32)
        dense /= np.linalg.norm(dense, axis=1, keepdims=True)
        return [
            Vectors(dense=row.tolist(), sparse_indices=sparse.indices, sparse_values=sparse.values)
            for row, sparse in zip(dense, self._sparse.encode(texts), strict=True)
        ]


async def fill_live_collection(settings: Settings, seed: int, say: Say) -> int:
    """Fill the empty live collection from the topic, payloads as a worker writes them; gives the number of keys.

    Raises:
        LockstepError: A part cannot be reached or refuses.
    """
    async with open_backfill_parts(settings) as parts:
        live = await parts.store.live_collection()
        backfill = await parts.backfill(live, Progress(say=say))
        backfill.embedder = RandomVectors(live.recipe, seed)
        await backfill.read(parts.source.starts)
        await backfill.fill(empty=True)
        return await parts.store.count(live.name)
