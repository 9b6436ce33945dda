"""What the model does when nothing else is asked of the machine: the measure for the pipeline."""

import time
from collections.abc import Sequence

from connectors.fastembed_without_telemetry import TextEmbedding
from connectors.offline_model import offline_model_folder, register_offline_model
from ops.settings import EmbeddingSettings
from schemas.recipe import OFFLINE_MODEL


def raw_documents_per_second(settings: EmbeddingSettings, texts: Sequence[str]) -> float:
    """Embed the texts in their order by fastembed alone, with the worker's threads and batch size."""
    if settings.model == OFFLINE_MODEL:
        register_offline_model()
        with offline_model_folder() as folder:
            model = TextEmbedding(settings.model, threads=settings.threads, specific_model_path=str(folder))
    else:
        model = TextEmbedding(settings.model, threads=settings.threads)
    list(model.embed(texts[: settings.batch_size]))  # the first batch warms it up
    started = time.monotonic()
    count = len(list(model.embed(texts, batch_size=settings.batch_size)))
    return count / (time.monotonic() - started)
