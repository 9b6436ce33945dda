"""What a snapshot is measured against: the model alone on the texts of the table, in a process of its own.

    python -m ops.bench.raw_embedding sorted | plain

prints the number of distinct texts, and the seconds that they took, as JSON.
"""

import asyncio
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

from connectors.dense_encoder import load_dense_encoder
from connectors.fastembed_without_telemetry import TextEmbedding
from connectors.offline_model import offline_model_folder, register_offline_model
from ops.settings import EmbeddingSettings, Settings, load_settings
from ops.stores import open_rows, open_store
from ops.terminal import print_json
from schemas.recipe import OFFLINE_MODEL, Recipe, split_model

SORTED = "sorted"
"""As the worker uses the model: texts of like length together, in short batches; here all are known at once."""
PLAIN = "plain"
"""As fastembed's manual does: `TextEmbedding(model).embed(texts)`."""
KINDS = (SORTED, PLAIN)
WARM_UP_TEXTS = 64


async def texts_of_table(settings: Settings) -> tuple[str, list[str]]:
    """The live collection's model, and every distinct text that the rows give by its recipe, in the order of keys."""
    async with open_store(settings) as store, open_rows(settings) as rows:
        recipe: Recipe = (await store.live_collection()).recipe
        texts = dict.fromkeys([recipe.render(row) async for page in rows.pages() for row in page])
    return split_model(recipe.model)[0], list(texts)


def loaded(kind: str, model: str, settings: EmbeddingSettings) -> Callable[[Sequence[str]], Any]:
    """The model, with the worker's threads, as something that embeds texts."""
    if kind == SORTED:
        return load_dense_encoder(model, threads=settings.threads, batch_size=settings.batch_size).encode
    register_offline_model()
    given: dict[str, Any] = {}
    with offline_model_folder() if model == OFFLINE_MODEL else nullcontext(None) as path:
        if path:
            given["specific_model_path"] = str(path)
        plain = TextEmbedding(model, threads=settings.threads, **given)
    return lambda texts: list(plain.embed(texts))


def main(arguments: Sequence[str]) -> None:
    """Measure one kind and print it; loading and the first texts do not count."""
    [kind] = arguments
    if kind not in KINDS:
        raise SystemExit(f"no such kind: {kind}")
    settings = load_settings()
    model, texts = asyncio.run(texts_of_table(settings))
    embed = loaded(kind, model, settings.embedding)
    embed(texts[:WARM_UP_TEXTS])
    started = time.monotonic()
    embed(texts)
    print_json({"texts": len(texts), "seconds": time.monotonic() - started})


if __name__ == "__main__":
    main(sys.argv[1:])
