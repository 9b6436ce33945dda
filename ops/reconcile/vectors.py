"""Compares vectors with a fresh embedding of their text: what no payload can tell."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from connectors.postgres import Postgres, UnreadableRowError
from connectors.qdrant import QdrantStore
from ops.reconcile.comparison import Comparison
from ops.reconcile.paging import pages_of
from schemas.collection import LiveCollection
from schemas.document import Vectors
from streams.ports import Embedders

LEAST_COSINE = 0.999
"""Below it a vector has drifted. The same model gives 1.0 for the same text; colours of one product stand at 0.998."""
PAGE = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class VectorCheck:
    """Knows which vectors of a collection are not those of their rows' texts."""

    rows: Postgres
    store: QdrantStore
    live: LiveCollection
    embedders: Embedders

    async def drifted(self, keys: Sequence[str]) -> dict[str, float | None]:
        """Those of the keys whose dense vector is missing or another than their text's, and their points' versions.

        A point that says that its vector is of another text is none of them: its payload tells that it is stale.

        Raises:
            EmbeddingError: The model cannot be had.
            SourceError: Postgres cannot be read.
            VectorStoreError: Qdrant cannot be read.
        """
        found: dict[str, float | None] = {}
        for part in pages_of(keys, PAGE):
            found |= await self._drifted(part)
        return found

    async def _drifted(self, keys: Sequence[str]) -> dict[str, float | None]:
        recipe = self.live.recipe
        unreadable: list[UnreadableRowError] = []
        rows = await self.rows.fetch_rows(keys, unreadable)
        points = await self.store.stored_points(self.live.name, list(rows))
        texts = {key: recipe.render(rows[key]) for key in points}
        claimed = {key: t for key, t in texts.items() if points[key].embedding_fingerprint == recipe.fingerprint(t)}
        if not claimed:
            return {}
        stored = await self.store.vectors(self.live.name, list(claimed))
        embedder = await self.embedders.for_recipe(recipe)
        fresh = dict(zip(claimed, await embedder.embed(list(claimed.values())), strict=True))
        return {
            key: points[key].version
            for key in claimed
            if key not in stored or _cosine(stored[key][1], fresh[key]) < LEAST_COSINE
        }


async def compare_vectors(comparison: Comparison, check: VectorCheck) -> None:
    """Look at the vectors of the comparison's sample; those that have drifted go into its report and its findings.

    Raises as `VectorCheck.drifted` does, and as the comparison's `wait`.
    """
    suspects = await check.drifted(comparison.sampled)
    comparison.report.vectors = len(comparison.sampled)
    if not suspects:
        return
    await comparison.wait()
    for key, version in (await check.drifted(list(suspects))).items():
        # One that was written again meanwhile was looked at in between its text and its vector.
        if suspects[key] == version:
            comparison.report.drifted.add([key])
            comparison.findings.add_drifted(key, version)


def _cosine(one: Vectors, other: Vectors) -> float:
    """0 for a vector without a direction."""
    a, b = np.asarray(one.dense), np.asarray(other.dense)
    lengths = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / lengths if lengths > 0 and a.shape == b.shape else 0.0
