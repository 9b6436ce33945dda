"""Publishes records in order through librdkafka.

aiokafka made a fifth of its rate, and would share the worker's event loop.
"""

import asyncio
import threading
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from connectors.kafka_errors import broker_error, quiet
from schemas.errors import BrokerError
from schemas.record import OutgoingRecord, Stretch

LOOK_EVERY_SECONDS = 0.1
QUEUED_KILOBYTES = 64 * 1024
"""What librdkafka may hold unconfirmed: its default of 1 GiB would stand in a worker's peak memory."""

_CONSEQUENCES = frozenset({KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT, KafkaError._FATAL})
"""What is said of the events behind the one that failed."""


class OrderedProducer:
    """`streams.ports.OrderedTopics` on one idempotent producer; an async context manager.

    While the broker cannot be reached librdkafka sends again, in order and for ever: a record that it gave up on would
    be overtaken by those behind it. For the same reason a refusal ends the client, with all that it has not sent yet;
    the next `publish` makes another.

    The client lives on a thread of its own: the event loop goes on meanwhile. Leaving the context ends a `publish` that
    still waits, with nothing more sent.
    """

    def __init__(self, brokers: str, *, max_record_bytes: int) -> None:
        self._brokers = brokers
        self._config = {
            "bootstrap.servers": brokers,
            "acks": "all",
            "enable.idempotence": True,
            # Without it, a record that is refused leaves a gap, and those behind it are written.
            "enable.gapless.guarantee": True,
            "delivery.timeout.ms": 0,  # none
            "message.max.bytes": max_record_bytes,
            "queue.buffering.max.kbytes": QUEUED_KILOBYTES,
            "allow.auto.create.topics": False,
        }
        self._producer: Producer | None = None
        self._closing = threading.Event()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ordered-producer")

    async def __aenter__(self) -> Self:
        # Connecting takes a second, so it begins now; nothing waits for the broker here.
        await asyncio.get_running_loop().run_in_executor(self._thread, self._connect)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        self._thread.submit(self._discard)
        self._thread.shutdown(wait=False)

    async def publish(self, records: Sequence[OutgoingRecord]) -> list[Stretch]:
        """Send them in their order, behind those of every call before; returns once the broker has confirmed them all.

        That may take however long. Cancelled, it sends nothing more: what is not on its way to the broker by then never
        comes there. Gives what was written to each partition of each topic.

        Raises:
            BrokerError: The broker refuses one. What was written is the beginning of each partition's records.
        """
        abandoned = threading.Event()
        publishing = asyncio.get_running_loop().run_in_executor(self._thread, self._publish, records, abandoned)
        try:
            return await asyncio.shield(publishing)
        except asyncio.CancelledError:
            abandoned.set()
            await asyncio.wait({publishing})
            publishing.exception()  # that it was abandoned is known
            raise

    def _connect(self) -> Producer:
        if self._producer is None:
            self._producer = Producer(self._config, **quiet())
        return self._producer

    def _publish(self, records: Sequence[OutgoingRecord], abandoned: threading.Event) -> list[Stretch]:
        errors: list[tuple[str, KafkaError]] = []
        written: list[Stretch] = []
        counts = Counter((record.topic, record.partition) for record in records)
        left = counts.copy()

        def note(error: KafkaError | None, message: Message) -> None:
            topic, partition = message.topic() or "", message.partition() or 0
            if error is None:
                count = counts[topic, partition]
                written.append(Stretch(topic=topic, partition=partition, count=count, last=message.offset() or 0))
            else:
                errors.append((topic, error))

        topic = ""
        try:
            producer = self._connect()
            for record in records:
                self._check_open(abandoned)  # it may have waited for its turn
                topic = record.topic
                left[topic, record.partition] -= 1
                # The last of a partition speaks for those before it: without it, none of them is missing. Each report
                # takes the interpreter from the event loop, for which the loop makes it wait 5 ms.
                last = not left[topic, record.partition]
                self._produce(producer, record, note if last else None, abandoned)
            while producer.flush(LOOK_EVERY_SECONDS):
                self._check_open(abandoned)
        except KafkaException as error:
            errors.append((topic, error.args[0]))
        if errors:
            errors += [(topic, error) for error in self._discard()]
            topic, cause = next((e for e in errors if e[1].code() not in _CONSEQUENCES), errors[0])
            raise broker_error(f"publish to {topic}", self._brokers, cause)
        return written

    def _produce(self, producer: Producer, record: OutgoingRecord, note: Any, abandoned: threading.Event) -> None:
        while True:
            try:
                producer.produce(
                    record.topic,
                    key=record.key,
                    value=record.body,
                    partition=record.partition,
                    headers=[*record.headers()],
                    on_delivery=note,
                )
            except BufferError:
                producer.poll(LOOK_EVERY_SECONDS)
                self._check_open(abandoned)
            else:
                return

    def _check_open(self, abandoned: threading.Event) -> None:
        if abandoned.is_set():
            self._discard()
            raise BrokerError(f"records were not confirmed at {self._brokers} before they were abandoned")
        if self._closing.is_set():
            raise BrokerError(f"records were not confirmed at {self._brokers} before the worker stopped")

    def _discard(self) -> list[KafkaError]:
        """End the client with everything that it has not sent; why it had failed, where it has not told yet."""
        untold = []
        if self._producer is not None:
            self._producer.purge()
            try:
                self._producer.poll(0)
            except KafkaException as error:
                untold.append(error.args[0])
            self._producer = None
        return untold
