"""Quix Streams with a sink for Qdrant, by its own interface for batching sinks.

    python -m ops.bench.peers.quix GROUP COLLECTION TALLY

Quix Streams asks for an older confluent-kafka than Lockstep: it has an environment of its own.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from qdrant_client.http.exceptions import ResponseHandlingException
from quixstreams import Application  # type: ignore[import-not-found, unused-ignore]
from quixstreams.sinks import (  # type: ignore[import-not-found, unused-ignore]
    BatchingSink,
    SinkBackpressureError,
    SinkBatch,
)

from ops.bench.peers.tally import note
from ops.bench.plain_index import PlainIndex
from ops.settings import load_settings
from streams.topics import PRODUCT_CHANGES

COMMIT_RECORDS = 500
COMMIT_SECONDS = 1.0
RETRY_SECONDS = 1.0


class QdrantSink(BatchingSink):  # type: ignore[misc, unused-ignore]
    """Writes a partition's records at each checkpoint; while Qdrant is away, its partition is paused and read again."""

    def __init__(self, index: PlainIndex, tally: Path) -> None:
        super().__init__()
        self._index = index
        self._tally = tally

    def write(self, batch: SinkBatch) -> None:
        """Write them in their order."""
        records = [(item.key, item.value) for item in batch]
        try:
            embeddings = self._index.apply(records)
        except ResponseHandlingException as error:
            raise SinkBackpressureError(retry_after=RETRY_SECONDS) from error
        note(self._tally, records=len(records), embeddings=embeddings)


def main(arguments: Sequence[str]) -> None:
    """Consume until SIGTERM."""
    group, collection, tally = arguments
    settings = load_settings()
    sink = QdrantSink(PlainIndex(settings, collection), Path(tally))
    app = Application(
        broker_address=settings.kafka.brokers,
        consumer_group=group,
        auto_offset_reset="earliest",
        commit_every=COMMIT_RECORDS,
        commit_interval=COMMIT_SECONDS,
        auto_create_topics=False,
        state_dir=Path(tally).with_suffix(".state"),
        consumer_extra_config={"group.instance.id": group},
    )
    topic = app.topic(PRODUCT_CHANGES, key_deserializer="bytes", value_deserializer="bytes")
    app.dataframe(topic).sink(sink)
    app.run()


if __name__ == "__main__":
    main(sys.argv[1:])
