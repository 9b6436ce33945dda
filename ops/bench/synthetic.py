"""Changes of rows that Postgres never had, put on the source topic at once: records that wait for a worker."""

import asyncio
from collections.abc import Iterator

import orjson
from confluent_kafka import Producer

from connectors.kafka_errors import quiet
from schemas.errors import BrokerError
from schemas.product import COLUMNS
from streams.topics import PRODUCT_CHANGES

KEYS = 300
CONFIRMED_WITHIN_SECONDS = 60.0


async def publish_backlog(brokers: str, records: int) -> None:
    """Publish price updates of 300 keys in turn, and then their tombstones, so that nothing of them stays in the end.

    Raises:
        BrokerError: Not all were confirmed within a minute.
    """

    def publish() -> int:
        producer = Producer({"bootstrap.servers": brokers, "linger.ms": 20, "acks": "all"}, **quiet())
        for number, (key, value) in enumerate(_records(records)):
            producer.produce(PRODUCT_CHANGES, key=key, value=value)
            if number % 10_000 == 0:
                producer.flush(CONFIRMED_WITHIN_SECONDS)
        return producer.flush(CONFIRMED_WITHIN_SECONDS)

    if left := await asyncio.to_thread(publish):
        raise BrokerError(f"cannot publish a backlog at {brokers}: {left} records were not confirmed")


def _records(count: int) -> Iterator[tuple[bytes, bytes | None]]:
    row = dict.fromkeys(COLUMNS) | {"id": 1, "name": "waiting", "__op": "u", "__deleted": "false"}
    keys = [f"backlog-{number}" for number in range(KEYS)]
    for number in range(count):
        key = keys[number % KEYS]
        order = {"article_id": key, "price": f"{number % 97}.00", "__lsn": number + 1, "__source_ts_ms": number}
        yield orjson.dumps({"article_id": key}), orjson.dumps(row | order)
    for key in keys:
        yield orjson.dumps({"article_id": key}), None
