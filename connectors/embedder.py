"""Turns texts into the vectors that a recipe asks for, dense and sparse, on one thread beside the event loop."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from connectors.dense_encoder import CutEncoder, DenseEncoder, load_dense_encoder
from connectors.sparse_encoder import SparseEncoder, SparseVector
from schemas.document import Vectors
from schemas.errors import EmbeddingError, ErrorKind
from schemas.recipe import Recipe, split_model


class FastEmbedder:
    """One recipe's models. Calls queue for the one embedding thread; the event loop stays free."""

    def __init__(
        self, recipe: Recipe, dense: DenseEncoder | CutEncoder, sparse: SparseEncoder, thread: ThreadPoolExecutor
    ) -> None:
        self._recipe = recipe
        self._dense = dense
        self._sparse = sparse
        self._thread = thread

    async def embed(self, texts: Sequence[str]) -> list[Vectors]:
        """Vectors in the order of the texts; equal texts are embedded once.

        Raises:
            EmbeddingError: A vector is not finite (permanent; the message counts texts from 0), or the model does not
                give the dimensions of the recipe (an outage).
        """
        if not texts:
            return []
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._embed, list(texts))

    async def embed_query(self, text: str) -> Vectors:
        """Vectors to search with: the model's own encoding of queries, and every term of BM25 with weight 1.

        Raises:
            EmbeddingError: As for `embed`.
        """
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._embed_query, text)

    def _embed(self, texts: list[str]) -> list[Vectors]:
        texts = [_well_formed(text) for text in texts]
        distinct = list(dict.fromkeys(texts))
        dense = self._dense.encode(distinct)
        self._check_dimensions(dense)
        if (row := _first_not_finite(dense)) is not None:
            raise EmbeddingError(f"cannot embed text {texts.index(distinct[row])}: its vector is not finite")
        sparse = self._sparse.encode(distinct)
        vectors = dict(zip(distinct, map(_vectors, dense, sparse), strict=True))
        return [vectors[text] for text in texts]

    def _embed_query(self, text: str) -> Vectors:
        text = _well_formed(text)
        dense = self._dense.encode_query(text)
        self._check_dimensions(dense)
        if _first_not_finite(dense) is not None:
            raise EmbeddingError("cannot embed query: its vector is not finite")
        return _vectors(dense[0], self._sparse.encode_query(text))

    def _check_dimensions(self, dense: NDArray[np.float32]) -> None:
        expected, got = self._recipe.dimensions, dense.shape[1]
        if got != expected:
            raise EmbeddingError(
                f"cannot embed text: expected {expected} dimensions, got {got}",
                kind=ErrorKind.OUTAGE,
                hint=f"model {self._recipe.model} needs a collection of {got} dimensions",
            )


class FastEmbedders:
    """The models at hand, each loaded once. `threads` bounds what one model uses: None means every core."""

    def __init__(self, *, threads: int | None, batch_size: int) -> None:
        self._threads = threads
        self._batch_size = batch_size
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="embedding")
        self._loading = asyncio.Lock()
        self._embedders: dict[str, FastEmbedder] = {}
        # Recipes that differ in their template or their cut only share a model.
        self._dense: dict[str, DenseEncoder] = {}

    async def for_recipe(self, recipe: Recipe) -> FastEmbedder:
        """Load the recipe's model, or give the one already loaded. A failed load is tried again at the next call.

        Raises:
            EmbeddingError: The model cannot be had, or does not give the dimensions of the recipe; an outage.
        """
        async with self._loading:
            if recipe.recipe_id not in self._embedders:
                load = asyncio.get_running_loop().run_in_executor(self._thread, self._load, recipe)
                self._embedders[recipe.recipe_id] = await load
            return self._embedders[recipe.recipe_id]

    def close(self) -> None:
        """Give the thread back; what was queued is dropped."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _load(self, recipe: Recipe) -> FastEmbedder:
        model, cut = split_model(recipe.model)
        if model not in self._dense:
            self._dense[model] = load_dense_encoder(model, threads=self._threads, batch_size=self._batch_size)
        whole = self._dense[model]
        dense = CutEncoder(whole, cut) if cut else whole
        embedder = FastEmbedder(recipe, dense, SparseEncoder(recipe.sparse), self._thread)
        # The first run is slow; and a model of other dimensions is better found now than at the first record.
        embedder._embed_query("warm")
        return embedder


def _well_formed(text: str) -> str:
    """Lone surrogates, which a command line may bring, become question marks: tokenizers refuse them."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _first_not_finite(dense: NDArray[np.float32]) -> int | None:
    finite = np.isfinite(dense).all(axis=1)
    return None if finite.all() else int(finite.argmin())


def _vectors(dense: NDArray[np.float32], sparse: SparseVector) -> Vectors:
    return Vectors(dense=dense.tolist(), sparse_indices=sparse.indices, sparse_values=sparse.values)
