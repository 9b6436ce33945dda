"""Writes a few records to a topic, for commands; a worker writes through Faust."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from connectors.kafka_errors import broker_error, quiet

CONFIRMED_WITHIN_SECONDS = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRecord:
    """A record that has no place yet; its key chooses the partition."""

    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()


async def write_records(brokers: str, topic: str, records: Sequence[NewRecord]) -> None:
    """Send them in their order; returns once the broker has confirmed each.

    Raises:
        BrokerError: One was not confirmed. Some of them, and that one too, may stand on the topic all the same.
    """
    await asyncio.to_thread(_write, brokers, topic, records)


def _write(brokers: str, topic: str, records: Sequence[NewRecord]) -> None:
    errors: list[KafkaError] = []

    def note(error: KafkaError | None, message: Message) -> None:
        if error is not None:
            errors.append(error)

    config = {
        "bootstrap.servers": brokers,
        "enable.idempotence": True,  # with acks=all
        "message.max.bytes": 1_000_000_000,  # the topic's own limit decides
        "delivery.timeout.ms": int(CONFIRMED_WITHIN_SECONDS * 1000),
    }
    producer = Producer(config, **quiet())
    try:
        for record in records:
            producer.produce(topic, key=record.key, value=record.value, headers=list(record.headers), on_delivery=note)
            producer.poll(0)
        producer.flush()
    except KafkaException as error:
        raise broker_error(f"write to {topic}", brokers, error.args[0]) from error
    if errors:
        raise broker_error(f"write to {topic}", brokers, errors[0])
