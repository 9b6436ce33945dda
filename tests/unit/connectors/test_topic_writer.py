"""What a command writes, against the broker that librdkafka has within itself for tests."""

import logging
from collections import defaultdict
from collections.abc import Iterator

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient

from connectors import topic_writer
from connectors.topic_writer import NewRecord, write_records
from schemas.errors import BrokerError

TOPIC = "records"
QUEUE = 100_000
"""How many records librdkafka holds back before it refuses another."""


@pytest.fixture
def brokers() -> Iterator[str]:
    """Where a slow broker listens; it goes with the client that began it."""
    client = AdminClient({"test.mock.num.brokers": 1, "test.mock.broker.rtt": 100}, logger=logging.getLogger(__name__))
    [broker] = client.list_topics(timeout=10).brokers.values()
    yield f"{broker.host}:{broker.port}"
    client.poll(0)


def keys_on(brokers: str, count: int) -> dict[int, list[bytes | None]]:
    """The keys of the first `count` records, by partition and in its order."""
    consumer = Consumer({"bootstrap.servers": brokers, "group.id": "test", "enable.auto.commit": False})
    found: dict[int, list[bytes | None]] = defaultdict(list)
    try:
        numbers = consumer.list_topics(TOPIC, timeout=10).topics[TOPIC].partitions
        consumer.assign([TopicPartition(TOPIC, number, 0) for number in numbers])
        while count:
            messages = consumer.consume(min(count, 5000), 10)
            assert messages, f"{count} more records"
            for message in messages:
                assert message.error() is None
                found[message.partition() or 0].append(message.key())
            count -= len(messages)
    finally:
        consumer.close()
    return found


async def test_more_records_than_the_queue_holds_are_all_written_in_their_order(brokers: str) -> None:
    keys = [b"%d" % number for number in range(QUEUE + 500)]
    await write_records(brokers, TOPIC, (NewRecord(key=key, value=None, partition=1) for key in keys))
    assert keys_on(brokers, len(keys)) == {1: keys}


async def test_the_key_chooses_where_no_partition_is_given(brokers: str) -> None:
    keys = [b"%d" % number for number in range(50)]
    await write_records(brokers, TOPIC, [NewRecord(key=key, value=b"x") for key in keys])
    found = keys_on(brokers, len(keys))
    assert len(found) > 1
    assert {key for of_partition in found.values() for key in of_partition} == set(keys)


async def test_broker_that_does_not_answer_is_a_broker_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topic_writer, "CONFIRMED_WITHIN_SECONDS", 0.2)
    with pytest.raises(BrokerError, match=f"cannot write to {TOPIC} at 127.0.0.1:1: "):
        await write_records("127.0.0.1:1", TOPIC, [NewRecord(key=b"k", value=b"v")])
