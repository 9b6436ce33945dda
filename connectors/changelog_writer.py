"""Fills a table's changelog with entries, each in its own partition: for a rebuild, while no worker runs."""

import asyncio
from collections.abc import Iterable

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from connectors.kafka_errors import broker_error, quiet

CONFIRMED_WITHIN_SECONDS = 60.0

ChangelogEntry = tuple[int, bytes, bytes]
"""Partition, key, value."""


async def write_changelog(brokers: str, topic: str, entries: Iterable[ChangelogEntry], *, max_record_bytes: int) -> int:
    """Write the entries; returns how many once the broker has confirmed each.

    Raises:
        BrokerError: One was not confirmed; others may stand on the topic.
    """
    return await asyncio.to_thread(_write, brokers, topic, entries, max_record_bytes)


def _write(brokers: str, topic: str, entries: Iterable[ChangelogEntry], max_record_bytes: int) -> int:
    errors: list[KafkaError] = []
    confirmed = 0

    def note(error: KafkaError | None, _: Message) -> None:
        nonlocal confirmed
        if error is None:
            confirmed += 1
        else:
            errors.append(error)

    config = {
        "bootstrap.servers": brokers,
        "enable.idempotence": True,  # with acks=all
        "message.max.bytes": max_record_bytes,
        "delivery.timeout.ms": int(CONFIRMED_WITHIN_SECONDS * 1000),
        "linger.ms": 20,
    }
    producer = Producer(config, **quiet())
    sent = 0
    try:
        for partition, key, value in entries:
            while not errors:
                try:
                    producer.produce(topic, partition=partition, key=key, value=value, on_delivery=note)
                except BufferError:
                    producer.poll(1.0)
                else:
                    break
            if errors:
                break
            sent += 1
            producer.poll(0)
        producer.flush()
    except KafkaException as error:
        raise broker_error(f"write to {topic}", brokers, error.args[0]) from error
    if errors:
        raise broker_error(f"write to {topic}", brokers, errors[0])
    assert confirmed == sent, "flush returns once every record is confirmed or refused"
    return confirmed
