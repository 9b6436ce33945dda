"""Records that no worker can apply, put straight on the source topic."""

import asyncio
from random import Random
from typing import Any

import orjson
from confluent_kafka import Producer

from connectors.kafka_errors import broker_error, quiet
from schemas.errors import BrokerError
from schemas.product import COLUMNS
from schemas.record import Place
from streams.topics import MAX_RECORD_BYTES, PARTITIONS, PRODUCT_CHANGES

DELIVERED_WITHIN_SECONDS = 60.0

# Whole rows: one that lacks a column is no poison, but a schema that does not fit, which is held.
_ROW = dict.fromkeys(COLUMNS) | {"id": 1, "article_id": "poison", "name": "poison", "__op": "c", "__deleted": "false"}
VALUES: tuple[bytes, ...] = (
    b"{",
    b"[]",
    b"\xff\xfe\x00",
    b'{"price": NaN}',
    orjson.dumps(_ROW | {"__op": "?"}),
    orjson.dumps(_ROW | {"price": "a lot"}),
    orjson.dumps(_ROW | {"created_at": "yesterday"}),
    orjson.dumps(_ROW | {"description": "x" * (3 * 1024 * 1024)}),  # above what a row may have
)


class PoisonSource:
    """Publishes poison; `places` is where it stands. Half of it bears the key of a living row."""

    def __init__(self, brokers: str, keys: list[str]) -> None:
        self.places: list[Place] = []
        self._brokers = brokers
        self._keys = keys
        self._count = 0
        config = {"bootstrap.servers": brokers, "message.max.bytes": MAX_RECORD_BYTES, "acks": "all"}
        self._producer = Producer(config, **quiet())

    async def publish(self, random: Random, count: int) -> None:
        """Publish some, and wait until the broker has confirmed them; it may be down for a while.

        Raises:
            BrokerError: A record was not confirmed within a minute, so nobody knows where it stands.
        """
        for _ in range(count):
            self._count += 1
            name = random.choice(self._keys) if random.random() < 0.5 else f"poison-{self._count}"
            key = b"\x00not json" + str(self._count).encode() if self._count % 9 == 0 else _key(name)
            self._producer.produce(
                PRODUCT_CHANGES,
                key=key,
                value=random.choice(VALUES),
                partition=random.randrange(PARTITIONS),
                on_delivery=self._note,
            )
        if left := await asyncio.to_thread(self._producer.flush, DELIVERED_WITHIN_SECONDS):
            raise BrokerError(f"cannot publish poison at {self._brokers}: {left} records were not confirmed")

    def _note(self, error: Any, message: Any) -> None:
        if error is not None:  # librdkafka calls this within flush, which raises it
            raise broker_error("publish poison", self._brokers, error)
        self.places.append(Place(topic=message.topic(), partition=message.partition(), offset=message.offset()))


def _key(name: str) -> bytes:
    # The space makes it another key for compaction, in which poison would else take the place of the row's last record.
    return orjson.dumps({"article_id": name}) + b" "
