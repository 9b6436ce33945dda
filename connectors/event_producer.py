"""Publishes events through librdkafka: aiokafka made a fifth of its rate, and would share the worker's event loop."""

import asyncio
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from connectors.kafka_errors import broker_error, quiet
from schemas.errors import BrokerError
from schemas.fanout_event import FanoutEvent

LOOK_EVERY_SECONDS = 0.1
QUEUED_KILOBYTES = 64 * 1024
"""What librdkafka may hold unconfirmed: its default of 1 GiB would stand in a worker's peak memory."""

_CONSEQUENCES = frozenset({KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT, KafkaError._FATAL})
"""What is said of the events behind the one that failed."""


class EventProducer:
    """`streams.ports.EventTopics` on one idempotent producer; an async context manager.

    While the broker cannot be reached librdkafka sends again, in order and for ever: an event that it gave up on would
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
            # Without it, an event that is refused leaves a gap, and those behind it are written.
            "enable.gapless.guarantee": True,
            "delivery.timeout.ms": 0,  # none
            "message.max.bytes": max_record_bytes,
            "queue.buffering.max.kbytes": QUEUED_KILOBYTES,
            "allow.auto.create.topics": False,
        }
        self._producer: Producer | None = None
        self._closing = threading.Event()
        self._abandoned = threading.Event()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="event-producer")

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

    async def publish(self, events: Sequence[FanoutEvent]) -> None:
        """Send them in their order; returns once the broker has confirmed them all, however long that takes.

        Cancelled, it sends nothing more: what is not on its way to the broker by then never comes there.

        Raises:
            BrokerError: The broker refuses one. What was written is the beginning of each partition's events.
        """
        self._abandoned.clear()
        publishing = asyncio.get_running_loop().run_in_executor(self._thread, self._publish, events)
        try:
            await asyncio.shield(publishing)
        except asyncio.CancelledError:
            self._abandoned.set()
            await asyncio.wait({publishing})
            publishing.exception()  # that it was abandoned is known
            raise

    def _connect(self) -> Producer:
        if self._producer is None:
            self._producer = Producer(self._config, **quiet())
        return self._producer

    def _publish(self, events: Sequence[FanoutEvent]) -> None:
        errors: list[tuple[str, KafkaError]] = []

        def note(error: KafkaError | None, message: Message) -> None:
            if error is not None:
                errors.append((message.topic() or "", error))

        topic = ""
        try:
            producer = self._connect()
            for event in events:
                topic = event.topic
                self._produce(producer, event, note)
            while producer.flush(LOOK_EVERY_SECONDS):
                self._check_open()
        except KafkaException as error:
            errors.append((topic, error.args[0]))
        if errors:
            errors += [(topic, error) for error in self._discard()]
            topic, cause = next((e for e in errors if e[1].code() not in _CONSEQUENCES), errors[0])
            raise broker_error(f"publish to {topic}", self._brokers, cause)

    def _produce(self, producer: Producer, event: FanoutEvent, note: Any) -> None:
        while True:
            try:
                producer.produce(
                    event.topic,
                    key=event.key,
                    value=event.body,
                    partition=event.partition,
                    headers=[*event.headers()],
                    on_delivery=note,
                )
            except BufferError:
                producer.poll(LOOK_EVERY_SECONDS)
                self._check_open()
            else:
                return

    def _check_open(self) -> None:
        if self._abandoned.is_set():
            self._discard()
            raise BrokerError(f"events were not confirmed at {self._brokers} before they were abandoned")
        if self._closing.is_set():
            raise BrokerError(f"events were not confirmed at {self._brokers} before the worker stopped")

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
