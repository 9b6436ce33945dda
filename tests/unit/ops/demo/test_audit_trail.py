"""The example subscriber keeps each event once."""

import sqlite3

import pytest
from confluent_kafka import KafkaError, KafkaException

from ops.demo.subscribers.audit_trail import TABLE, keep


class FakeMessage:
    """As much of a message as the subscriber reads."""

    def __init__(self, event_id: str = "", error: KafkaError | None = None) -> None:
        self._id = event_id
        self._error = error

    def error(self) -> KafkaError | None:
        return self._error

    def headers(self) -> list[tuple[str, bytes]]:
        return [("ce_id", self._id.encode())]

    def key(self) -> bytes:
        return b"0108775015"

    def value(self) -> bytes:
        return b"{}"


@pytest.fixture
def database() -> sqlite3.Connection:
    database = sqlite3.connect(":memory:")
    database.execute(TABLE)
    return database


def kept(database: sqlite3.Connection) -> list[str]:
    return [row[0] for row in database.execute("SELECT id FROM changes ORDER BY number")]


def test_events_are_kept_in_their_order_and_repeats_are_dropped(database: sqlite3.Connection) -> None:
    assert keep(database, [FakeMessage("c"), FakeMessage("a"), FakeMessage("c")]) == 2
    assert keep(database, [FakeMessage("a"), FakeMessage("b")]) == 1
    assert kept(database) == ["c", "a", "b"]
    database.close()


def test_an_error_keeps_nothing_of_its_batch(database: sqlite3.Connection) -> None:
    with pytest.raises(KafkaException):
        keep(database, [FakeMessage("a"), FakeMessage(error=KafkaError(KafkaError._TRANSPORT))])
    assert kept(database) == []
    database.close()
