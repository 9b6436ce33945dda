"""How texts reach the model: sorted by length, cut to what it can read; and how its errors leave."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from connectors.dense_encoder import CutEncoder, DenseEncoder, dimensions_of
from connectors.fastembed_without_telemetry import InvalidArgument, RuntimeException
from schemas.errors import EmbeddingError, ErrorKind
from schemas.recipe import OFFLINE_MODEL


class FakeModel:
    """Stands for fastembed's TextEmbedding: a vector is the text's length."""

    def __init__(self, *, max_tokens: int | None = 4, error: Exception | None = None) -> None:
        truncation = {"max_length": max_tokens} if max_tokens else None
        self.model = SimpleNamespace(tokenizer=SimpleNamespace(truncation=truncation))
        self.embedded: list[str] = []
        self._error = error

    def embed(self, texts: list[str], batch_size: int) -> Iterator[Any]:
        if self._error:
            raise self._error
        self.embedded += texts
        yield from (np.array([len(text)], dtype=np.float32) for text in texts)

    def query_embed(self, text: str) -> Iterator[Any]:
        return self.embed([text], 1)


def encoder(model: FakeModel) -> DenseEncoder:
    return DenseEncoder(model, batch_size=2)  # type: ignore[arg-type]  # a stand-in


def test_texts_of_like_length_sit_together_and_vectors_keep_the_order() -> None:
    model = FakeModel()
    vectors = encoder(model).encode(["aaaa", "b", "ccc", "", "dd"])
    assert model.embedded == ["", "b", "dd", "ccc", "aaaa"]
    assert vectors.tolist() == [[4], [1], [3], [0], [2]]
    assert vectors.dtype == np.float32


def test_text_is_cut_at_32_characters_a_token() -> None:
    model = FakeModel(max_tokens=4)
    assert encoder(model).encode(["x" * 1_000_000]).tolist() == [[128]]
    assert encoder(model).encode_query("x" * 1_000_000).tolist() == [[128]]
    assert encoder(FakeModel(max_tokens=None)).encode(["x" * 1_000]).tolist() == [[1000]]


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (InvalidArgument("[ONNXRuntimeError] : 2 : INVALID_ARGUMENT : indices out of bounds"), ErrorKind.PERMANENT),
        (RuntimeException("[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : bad_alloc"), ErrorKind.TRANSIENT),
    ],
)
def test_errors_of_the_runtime_become_ours(error: Exception, kind: ErrorKind) -> None:
    with pytest.raises(EmbeddingError, match="cannot embed texts: ") as caught:
        encoder(FakeModel(error=error)).encode(["red"])
    assert caught.value.kind is kind
    assert caught.value.__cause__ is error


class WholeVectors:
    """Stands for an encoder of three dimensions."""

    def encode(self, texts: list[str]) -> Any:
        return np.array([[3, 4, 12], [0, 0, 1]], dtype=np.float32)

    def encode_query(self, text: str) -> Any:
        return np.array([[0, 2, 9]], dtype=np.float32)


def test_cut_vectors_are_normalised_again() -> None:
    cut = CutEncoder(WholeVectors(), 2)  # type: ignore[arg-type]  # a stand-in
    vectors = cut.encode(["a", "b"])
    assert np.allclose(vectors, [[0.6, 0.8], [0, 0]])
    assert vectors.dtype == np.float32
    assert cut.encode_query("a").tolist() == [[0, 1]]


@pytest.mark.parametrize(("model", "dimensions"), [(OFFLINE_MODEL, 384), (f"{OFFLINE_MODEL}@256", 256)])
def test_dimensions_are_known_without_loading_the_model(model: str, dimensions: int) -> None:
    assert dimensions_of(model) == dimensions


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (f"{OFFLINE_MODEL}@512", "has 384 dimensions"),
        (f"{OFFLINE_MODEL}@small", "must be <name>@<dimensions>"),
        ("nobody/nothing@2", "no such model"),
    ],
)
def test_model_that_cannot_be_cut_so_is_refused(model: str, message: str) -> None:
    with pytest.raises(EmbeddingError, match=message):
        dimensions_of(model)
