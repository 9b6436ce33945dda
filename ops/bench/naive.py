"""The naive consumer: polls one record, embeds it, upserts or deletes, commits, and polls the next.

    python -m ops.bench.naive COLLECTION SECONDS OFFSET…

reads each partition of the source topic from its offset on, for so long or to the end, and prints what it did as JSON.
"""

import sys
import time
from collections.abc import Sequence

from confluent_kafka import Consumer, TopicPartition

from connectors.kafka_errors import quiet
from ops.bench.plain_index import PlainIndex
from ops.settings import load_settings
from ops.terminal import print_json
from streams.topics import PRODUCT_CHANGES

FIRST_POLL_SECONDS = 30.0
POLL_SECONDS = 2.0
"""Nothing for so long means that the end is reached."""


def main(arguments: Sequence[str]) -> None:
    """Count from when the first record has come: the model is loaded and the broker connected by then."""
    collection, most, *offsets = arguments
    settings = load_settings()
    index = PlainIndex(settings, collection)
    consumer = Consumer(
        {"bootstrap.servers": settings.kafka.brokers, "group.id": collection, "enable.auto.commit": False}, **quiet()
    )
    consumer.assign([TopicPartition(PRODUCT_CHANGES, number, int(offset)) for number, offset in enumerate(offsets)])
    records = embeddings = 0
    message = consumer.poll(FIRST_POLL_SECONDS)
    started = now = time.monotonic()
    while message is not None and now - started < float(most):
        embeddings += index.apply([(message.key() or b"", message.value())])
        consumer.commit(message=message, asynchronous=False)
        records, now = records + 1, time.monotonic()
        message = consumer.poll(POLL_SECONDS)
    consumer.close()
    print_json({"records": records, "embeddings": embeddings, "seconds": now - started})


if __name__ == "__main__":
    main(sys.argv[1:])
