"""A fastembed model as we use it: loaded with errors that say what to do, fed with short batches of like length."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from connectors.fastembed_without_telemetry import (
    Fail,
    InvalidArgument,
    InvalidGraph,
    InvalidProtobuf,
    NoSuchFile,
    RuntimeException,
    TextEmbedding,
)
from connectors.offline_model import offline_model_folder, register_offline_model
from schemas.errors import EmbeddingError, ErrorKind
from schemas.recipe import OFFLINE_MODEL, split_model

CHARACTERS_PER_TOKEN = 32
"""A text is cut at this many characters for each token that the model reads.

Prose has 4 to 6 characters a token, so that this removes nothing that the model would have seen, and a text of 1 MB
costs no more to tokenize than a long description.
"""

_DOWNLOAD_HINT = (
    "check the network and HF_HUB_OFFLINE, or put the model's files into the folder that FASTEMBED_CACHE_PATH names"
)
_DISK_HINT = "make room on the disk of the cache and of the temporary folder: the model needs 25 MB"
_MODELS_HINT = f"choose {OFFLINE_MODEL} or a model of fastembed's TextEmbedding.list_supported_models()"

BATCH_CHARACTERS = 6_000
"""A batch holds about this many characters: 16 texts of 60 words, or 4 that fill MiniLM's window.

The model's working memory grows with texts times the square of the longest: with batches of 16 full windows the process
came to 900 MB, with 4 to 320 MB, at the same texts per second.
"""


class DenseEncoder:
    """Turns texts into vectors on the caller's thread; onnxruntime leaves the interpreter to others meanwhile."""

    def __init__(self, model: TextEmbedding, *, batch_size: int) -> None:
        self._model = model
        self._batch_size = batch_size
        self._max_characters = _max_characters(model)

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors of documents, float32 [texts, dimensions], in the order of the texts, of which there is at least one.

        Raises:
            EmbeddingError: The model refused a text of the batch, or could not run.
        """
        readable = [text[: self._max_characters] for text in texts]
        # A batch is padded to its longest text, so texts of like length sit together.
        order = sorted(range(len(texts)), key=lambda position: len(readable[position]))
        rows: list[Any] = []
        with _our_errors():
            for batch in _batches([readable[position] for position in order], self._batch_size):
                rows += self._model.embed(batch, batch_size=len(batch))
        vectors = np.empty((len(rows), len(rows[0])), dtype=np.float32)
        vectors[order] = rows
        return vectors

    def encode_query(self, text: str) -> NDArray[np.float32]:
        """The vector of a query, float32 [1, dimensions]; some models encode queries unlike documents.

        Raises:
            EmbeddingError: The model refused the text, or could not run.
        """
        with _our_errors():
            return np.asarray(list(self._model.query_embed(text[: self._max_characters])), dtype=np.float32)


class CutEncoder:
    """Another encoder's vectors cut to their first dimensions and normalised again."""

    def __init__(self, whole: DenseEncoder, dimensions: int) -> None:
        self._whole = whole
        self._dimensions = dimensions

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """As the other's, float32 [texts, dimensions]."""
        return self._cut(self._whole.encode(texts))

    def encode_query(self, text: str) -> NDArray[np.float32]:
        """As the other's, float32 [1, dimensions]."""
        return self._cut(self._whole.encode_query(text))

    def _cut(self, whole: NDArray[np.float32]) -> NDArray[np.float32]:
        vectors = whole[:, : self._dimensions]
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        return (vectors / np.where(lengths == 0, 1, lengths)).astype(np.float32)


def _batches(texts: Sequence[str], most: int) -> Iterator[list[str]]:
    """Consecutive texts, shortest first, at most `most` in a batch and fewer where they are long."""
    batch: list[str] = []
    for text in texts:
        if batch and (len(batch) >= most or (len(batch) + 1) * len(text) > BATCH_CHARACTERS):
            yield batch
            batch = []
        batch.append(text)
    if batch:
        yield batch


def load_dense_encoder(model: str, *, threads: int | None, batch_size: int) -> DenseEncoder:
    """Load a model: the offline one from its wheels, any other as fastembed does, which may download it.

    Raises:
        EmbeddingError: fastembed does not know the model, or it cannot be had; an outage either way.
    """
    try:
        if model == OFFLINE_MODEL:
            register_offline_model()
        folder = offline_model_folder() if model == OFFLINE_MODEL else nullcontext(None)
        with folder as path:
            return DenseEncoder(_text_embedding(model, threads, path), batch_size=batch_size)
    except (OSError, ValueError, Fail, InvalidArgument, InvalidGraph, InvalidProtobuf, NoSuchFile) as error:
        known = any(known["model"].lower() == model.lower() for known in TextEmbedding.list_supported_models())
        raise EmbeddingError(
            f"cannot load model {model}: {_reason(error) if known else 'fastembed has no such model'}",
            kind=ErrorKind.OUTAGE,
            hint=_DISK_HINT if model == OFFLINE_MODEL else _DOWNLOAD_HINT if known else _MODELS_HINT,
        ) from error


def _text_embedding(model: str, threads: int | None, folder: Path | None) -> TextEmbedding:
    given: dict[str, Any] = {} if folder is None else {"specific_model_path": str(folder)}
    return TextEmbedding(model, threads=threads, **given)


def _reason(error: Exception) -> str:
    sentence = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
    return sentence[0].lower() + sentence[1:].rstrip(".")


def _max_characters(model: TextEmbedding) -> int | None:
    """None for a model that reads without limit."""
    tokenizer = getattr(model.model, "tokenizer", None)
    truncation = getattr(tokenizer, "truncation", None)
    return truncation["max_length"] * CHARACTERS_PER_TOKEN if truncation else None


@contextmanager
def _our_errors() -> Iterator[None]:
    try:
        yield
    except InvalidArgument as error:
        raise EmbeddingError(f"cannot embed texts: {_reason(error)}") from error
    except (Fail, RuntimeException) as error:
        # The runtime lacks memory, most often: another try may find it.
        raise EmbeddingError(f"cannot embed texts: {_reason(error)}", kind=ErrorKind.TRANSIENT) from error


def dimensions_of(model: str) -> int:
    """How many dimensions a model's vectors have, without loading it.

    Raises:
        EmbeddingError: fastembed does not know the model, or it has fewer dimensions than its vectors are cut to.
    """
    register_offline_model()
    try:
        name, cut = split_model(model)
    except ValueError as error:
        raise EmbeddingError(f"cannot use {error}", kind=ErrorKind.OUTAGE, hint=_MODELS_HINT) from error
    for known in TextEmbedding.list_supported_models():
        if known["model"].lower() == name.lower():
            whole = int(known["dim"])
            if cut and cut > whole:
                raise EmbeddingError(
                    f"cannot use model {model}: {name} has {whole} dimensions", kind=ErrorKind.OUTAGE, hint=_MODELS_HINT
                )
            return cut or whole
    raise EmbeddingError(
        f"cannot use model {model}: fastembed has no such model", kind=ErrorKind.OUTAGE, hint=_MODELS_HINT
    )
