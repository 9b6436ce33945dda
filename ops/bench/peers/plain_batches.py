"""A script as many would write it with confluent-kafka and qdrant-client: poll a batch, embed it, write it, commit.

    python -m ops.bench.peers.plain_batches GROUP COLLECTION TALLY after|auto

`after` commits when the batch is written. `auto` leaves that to the client, as its default has it: every five seconds
it commits what was polled, and once more when it is closed. An error ends the script, for a supervisor to start it.
"""

import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from threading import Event

from confluent_kafka import Consumer

from connectors.kafka_errors import quiet
from ops.bench.peers.tally import note
from ops.bench.plain_index import PlainIndex
from ops.settings import load_settings
from streams.topics import PRODUCT_CHANGES

BATCH_RECORDS = 200
"""As many as a worker's batch has by default."""
WAIT_SECONDS = 1.0


def main(arguments: Sequence[str]) -> None:
    """Consume until SIGTERM."""
    group, collection, tally, commits = arguments
    settings = load_settings()
    index = PlainIndex(settings, collection)
    stopping = Event()
    signal.signal(signal.SIGTERM, lambda number, frame: stopping.set())
    consumer = Consumer(
        {
            "bootstrap.servers": settings.kafka.brokers,
            "group.id": group,
            "group.instance.id": group,  # so that it has its partitions back at once after a kill
            "auto.offset.reset": "earliest",
            "enable.auto.commit": commits == "auto",
        },
        **quiet(),
    )
    consumer.subscribe([PRODUCT_CHANGES])
    try:
        while not stopping.is_set():
            messages = [message for message in consumer.consume(BATCH_RECORDS, WAIT_SECONDS) if not message.error()]
            if not messages:
                continue
            embeddings = index.apply([(message.key() or b"", message.value()) for message in messages])
            note(Path(tally), records=len(messages), embeddings=embeddings)
            if commits == "after":
                consumer.commit(asynchronous=False)
    finally:
        consumer.close()


if __name__ == "__main__":
    main(sys.argv[1:])
