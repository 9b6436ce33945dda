"""Order, repetition and refusal: what the embedder adds to its two encoders."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from connectors.embedder import FastEmbedder
from connectors.sparse_encoder import SparseEncoder
from schemas.errors import EmbeddingError, ErrorKind
from schemas.recipe import Recipe

RECIPE = Recipe(dimensions=2)


class LengthEncoder:
    """A text's vector is its length and 1; a text in `broken` has that value instead."""

    def __init__(self, *, dimensions: int = 2, broken: dict[str, float] | None = None) -> None:
        self.seen: list[list[str]] = []
        self._dimensions = dimensions
        self._broken = broken or {}

    def encode(self, texts: Sequence[str]) -> Any:
        self.seen.append(list(texts))
        rows = [[self._broken.get(text, len(text))] + [1] * (self._dimensions - 1) for text in texts]
        return np.array(rows, dtype=np.float32)

    def encode_query(self, text: str) -> Any:
        return self.encode([text])


@pytest.fixture(scope="module")
def sparse() -> SparseEncoder:
    return SparseEncoder(RECIPE.sparse)


@pytest.fixture
def thread() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as thread:
        yield thread


async def test_equal_texts_are_embedded_once_and_answers_keep_the_order(
    sparse: SparseEncoder, thread: ThreadPoolExecutor
) -> None:
    encoder = LengthEncoder()
    embedder = FastEmbedder(RECIPE, encoder, sparse, thread)  # type: ignore[arg-type]  # a stand-in
    vectors = await embedder.embed(["black shirt", "red", "black shirt", "", "red"])
    assert encoder.seen == [["black shirt", "red", ""]]
    assert [v.dense[0] for v in vectors] == [11, 3, 11, 0, 3]
    assert [len(v.sparse_indices) for v in vectors] == [2, 1, 2, 0, 1]


async def test_no_texts_need_no_model(sparse: SparseEncoder, thread: ThreadPoolExecutor) -> None:
    encoder = LengthEncoder()
    assert await FastEmbedder(RECIPE, encoder, sparse, thread).embed([]) == []  # type: ignore[arg-type]
    assert encoder.seen == []


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
async def test_vector_that_is_not_finite_is_refused_by_position(
    value: float, sparse: SparseEncoder, thread: ThreadPoolExecutor
) -> None:
    embedder = FastEmbedder(RECIPE, LengthEncoder(broken={"bad": value}), sparse, thread)  # type: ignore[arg-type]
    with pytest.raises(EmbeddingError, match="cannot embed text 3: its vector is not finite") as caught:
        await embedder.embed(["red", "red", "blue", "bad"])
    assert caught.value.kind is ErrorKind.PERMANENT
    with pytest.raises(EmbeddingError, match="cannot embed query"):
        await embedder.embed_query("bad")


async def test_model_of_other_dimensions_is_an_outage(sparse: SparseEncoder, thread: ThreadPoolExecutor) -> None:
    embedder = FastEmbedder(Recipe(), LengthEncoder(dimensions=768), sparse, thread)  # type: ignore[arg-type]
    for attempt in (embedder.embed(["red"]), embedder.embed_query("red")):
        with pytest.raises(EmbeddingError, match="expected 384 dimensions, got 768") as caught:
            await attempt
        assert caught.value.kind is ErrorKind.OUTAGE


async def test_lone_surrogate_from_a_command_line_is_searched_as_a_question_mark(
    sparse: SparseEncoder, thread: ThreadPoolExecutor
) -> None:
    encoder = LengthEncoder()
    await FastEmbedder(RECIPE, encoder, sparse, thread).embed_query("robe d\udce9t\udce9 👗")  # type: ignore[arg-type]
    assert encoder.seen == [["robe d?t? 👗"]]
