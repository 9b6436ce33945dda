"""Whose turn it is on the producer's thread, without a broker; tests/integration has the real one."""

import asyncio
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from connectors import ordered_producer
from connectors.ordered_producer import OrderedProducer
from schemas.record import Stretch
from streams.changelog import ChangelogRecord


class Client:
    """librdkafka's: what is produced is confirmed by `flush` once the broker answers."""

    def __init__(self, broker: "Broker") -> None:
        self.broker = broker
        self.queued: list[tuple[str, int, Any]] = []

    def produce(self, topic: str, *, partition: int, on_delivery: Any, **_: object) -> None:
        self.queued.append((topic, partition, on_delivery))

    def flush(self, seconds: float) -> int:
        self.broker.flushing.set()
        if not self.broker.answers.wait(seconds):
            return len(self.queued)
        for topic, partition, report in self.queued:
            offset = len(self.broker.written)
            self.broker.written.append(topic)
            if report:
                report(
                    None,
                    SimpleNamespace(
                        topic=lambda t=topic: t, partition=lambda p=partition: p, offset=lambda o=offset: o
                    ),
                )
        self.queued = []
        return 0

    def purge(self) -> None:
        self.queued = []

    def poll(self, seconds: float) -> int:
        return 0


class Broker:
    def __init__(self) -> None:
        self.answers = threading.Event()
        self.flushing = threading.Event()
        self.written: list[str] = []


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> Broker:
    broker = Broker()
    monkeypatch.setattr(ordered_producer, "Producer", lambda *_, **__: Client(broker))
    return broker


def records(topic: str, *partitions: int) -> list[ChangelogRecord]:
    return [ChangelogRecord(topic=topic, partition=partition, key=b"A", body=b"") for partition in partitions]


async def test_what_was_written_is_told_by_partition(broker: Broker) -> None:
    broker.answers.set()
    producer = OrderedProducer("nowhere:1", max_record_bytes=1000)
    assert await producer.publish(records("log", 0, 1, 0)) == [
        Stretch(topic="log", partition=1, count=1, last=1),
        Stretch(topic="log", partition=0, count=2, last=2),
    ]


async def test_promise_2_what_is_abandoned_before_its_turn_is_never_sent(broker: Broker) -> None:
    producer = OrderedProducer("nowhere:1", max_record_bytes=1000)
    entries = asyncio.create_task(producer.publish(records("log", 0)))
    await asyncio.to_thread(broker.flushing.wait)
    events = asyncio.create_task(producer.publish(records("products.changed.v1", 0)))
    await asyncio.sleep(0)
    events.cancel()
    await asyncio.sleep(0)
    broker.answers.set()
    await entries
    with pytest.raises(asyncio.CancelledError):
        await events
    assert broker.written == ["log"]
