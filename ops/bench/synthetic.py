"""Records of rows that Postgres never had, put on the source topic at once: a load that does not hang on capture."""

import asyncio
from collections.abc import Iterable, Iterator

import orjson
from confluent_kafka import Producer

from connectors.kafka_errors import quiet
from schemas.errors import BrokerError
from schemas.product import COLUMNS
from streams.topics import PRODUCT_CHANGES

CONFIRMED_WITHIN_SECONDS = 60.0

KeyAndValue = tuple[bytes, bytes | None]


def price_updates(keys: int, numbers: range) -> Iterator[KeyAndValue]:
    """Update number n gives key n modulo `keys` another price; later numbers are later changes."""
    row = dict.fromkeys(COLUMNS) | {"id": 1, "name": "waiting", "__op": "u", "__deleted": "false"}
    for number in numbers:
        article_id = _article_id(number % keys)
        order = {"article_id": article_id, "price": f"{number % 9973}.00", "__lsn": number + 1}
        yield _key(article_id), orjson.dumps(row | order | {"__source_ts_ms": number})


def tombstones(keys: int) -> Iterator[KeyAndValue]:
    """The end of each key."""
    return ((_key(_article_id(number)), None) for number in range(keys))


async def publish(brokers: str, records: Iterable[KeyAndValue]) -> None:
    """Put records on the source topic.

    Raises:
        BrokerError: Not all were confirmed within a minute.
    """

    def send() -> int:
        producer = Producer({"bootstrap.servers": brokers, "linger.ms": 20, "acks": "all"}, **quiet())
        for number, (key, value) in enumerate(records):
            producer.produce(PRODUCT_CHANGES, key=key, value=value)
            if number % 10_000 == 0:
                producer.flush(CONFIRMED_WITHIN_SECONDS)
        return producer.flush(CONFIRMED_WITHIN_SECONDS)

    if left := await asyncio.to_thread(send):
        raise BrokerError(f"cannot publish at {brokers}: {left} records were not confirmed")


def _article_id(number: int) -> str:
    return f"synthetic-{number}"


def _key(article_id: str) -> bytes:
    return orjson.dumps({"article_id": article_id})
