"""Reads a topic from a start on, and goes on as records come: no group, nothing committed."""

from collections.abc import Iterator
from datetime import datetime
from enum import StrEnum
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, Consumer, KafkaError, KafkaException, TopicPartition

from connectors.kafka_errors import broker_error, quiet
from connectors.topic_reader import record_of
from schemas.record import Record

REQUEST_TIMEOUT_SECONDS = 10.0
LOOK_EVERY_SECONDS = 0.2
BATCH_RECORDS = 500


class Start(StrEnum):
    """Where to begin, unless at a time."""

    BEGINNING = "beginning"
    LATEST = "latest"


def tail(brokers: str, topic: str, start: Start | datetime, *, follow: bool) -> Iterator[list[Record]]:
    """The records of all partitions from the start on, a partition's in its order; an empty list where none came.

    A time means the first record of each partition that was written then or later. Without `follow` it ends with what
    stood there when it began; else it goes on for ever.

    Raises:
        BrokerError: The broker cannot be reached, or the topic does not exist (an outage).
    """
    consumer = Consumer(
        {
            "bootstrap.servers": brokers,
            "group.id": f"{topic}-tail",  # it must have one; nothing is ever committed under it
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "topic.metadata.refresh.interval.ms": 5000,
        },
        **quiet(),
    )
    try:
        partitions = _starts(consumer, brokers, topic, start)
        unread = {partition.partition for partition in partitions}
        consumer.assign(partitions)
        while follow or unread:
            records = []
            for message in consumer.consume(BATCH_RECORDS, LOOK_EVERY_SECONDS):
                error = message.error()
                if error is None:
                    records.append(record_of(message))
                elif error.code() == KafkaError._PARTITION_EOF:
                    unread.discard(_partition(message))
                else:
                    raise broker_error(f"read {topic}", brokers, error)
            yield records
    except KafkaException as error:
        raise broker_error(f"read {topic}", brokers, error.args[0]) from error
    finally:
        consumer.close()


def _starts(consumer: Consumer, brokers: str, topic: str, start: Start | datetime) -> list[TopicPartition]:
    metadata = consumer.list_topics(topic, timeout=REQUEST_TIMEOUT_SECONDS).topics[topic]
    if metadata.error is not None:
        raise broker_error(f"read {topic}", brokers, metadata.error)
    numbers = list(metadata.partitions)
    if isinstance(start, datetime):
        milliseconds = int(start.timestamp() * 1000)
        # A partition without so young a record answers with its end.
        return consumer.offsets_for_times(
            [TopicPartition(topic, number, milliseconds) for number in numbers], timeout=REQUEST_TIMEOUT_SECONDS
        )
    offset = OFFSET_BEGINNING if start is Start.BEGINNING else OFFSET_END
    return [TopicPartition(topic, number, offset) for number in numbers]


# Any: a message that is no error has a partition and an offset, which its types do not say.
def _partition(message: Any) -> int:
    number: int = message.partition()
    return number
