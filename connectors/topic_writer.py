"""Writes records to a topic, for commands; a worker writes through Faust."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from connectors.kafka_errors import broker_error, quiet

CONFIRMED_WITHIN_SECONDS = 60.0

_BY_KEY = -1
"""librdkafka's word for a partition that the key chooses."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRecord:
    """A record that has no place yet; its key chooses the partition where none is given."""

    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()
    partition: int | None = None


async def write_records(brokers: str, topic: str, records: Iterable[NewRecord]) -> None:
    """Send them, however many, in their order; returns once the broker has confirmed each.

    Raises:
        BrokerError: One was not confirmed. Some of them, and that one too, may stand on the topic all the same.
    """
    await asyncio.to_thread(_write, brokers, topic, records)


def _write(brokers: str, topic: str, records: Iterable[NewRecord]) -> None:
    errors: list[KafkaError] = []

    def note(error: KafkaError | None, _: Message) -> None:
        if error is not None:
            errors.append(error)

    def produce(record: NewRecord) -> None:
        producer.produce(
            topic,
            partition=_BY_KEY if record.partition is None else record.partition,
            key=record.key,
            value=record.value,
            headers=list(record.headers),
            on_delivery=note,
        )

    config = {
        "bootstrap.servers": brokers,
        "enable.idempotence": True,  # with acks=all
        "message.max.bytes": 1_000_000_000,  # the topic's own limit decides
        "delivery.timeout.ms": int(CONFIRMED_WITHIN_SECONDS * 1000),
        "linger.ms": 20,
    }
    producer = Producer(config, **quiet())
    try:
        for record in records:
            while True:
                try:
                    produce(record)
                    break
                except BufferError:
                    producer.poll(1.0)  # the queue is full: each answer of the broker makes room
            producer.poll(0)
            if errors:
                break
        producer.flush()
    except KafkaException as error:
        raise broker_error(f"write to {topic}", brokers, error.args[0]) from error
    if errors:
        raise broker_error(f"write to {topic}", brokers, errors[0])
