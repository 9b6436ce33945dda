"""A subscriber on a plain consumer: keeps every change of the catalogue in SQLite, each once, in its key's order."""

import signal
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, KafkaException

from ops.settings import load_settings
from ops.terminal import out
from schemas.fanout_event import ProductChanged

GROUP = "audit-trail-v1"
TOPIC = ProductChanged.topic
FILE = "audit-trail.db"
BATCH_RECORDS = 500
BATCH_WAIT_SECONDS = 0.2

TABLE = """
CREATE TABLE IF NOT EXISTS changes (
    number INTEGER PRIMARY KEY,  -- in the order of arrival, which is the order of the changes of an article
    id TEXT NOT NULL UNIQUE,
    article_id TEXT NOT NULL,
    body TEXT NOT NULL
)
"""


def keep_trail(brokers: str, path: Path, running: Callable[[], bool]) -> None:
    """Read on from the group's offsets for as long as `running` says so."""
    path.parent.mkdir(parents=True, exist_ok=True)
    database = sqlite3.connect(path)
    database.execute(TABLE)
    consumer = Consumer(
        {
            "bootstrap.servers": brokers,
            "group.id": GROUP,
            "auto.offset.reset": "earliest",  # a new group starts with the first event that there is
            "enable.auto.commit": False,
        }
    )
    try:
        consumer.subscribe([TOPIC])
        while running():
            messages = consumer.consume(BATCH_RECORDS, BATCH_WAIT_SECONDS)
            if messages:
                kept = keep(database, messages)
                # Only now: an event that is committed is safe, and one that comes again is known by its id.
                consumer.commit(asynchronous=False)
                out.print(f"{kept} changes kept, {len(messages) - kept} repeats dropped")
    finally:
        consumer.close()
        database.close()


def keep(database: sqlite3.Connection, messages: list[Any]) -> int:
    """Store the events in one transaction; how many were not there yet."""
    rows = []
    for message in messages:
        if message.error():
            raise KafkaException(message.error())
        headers = dict(message.headers())
        rows.append((headers["ce_id"].decode(), message.key().decode(), message.value().decode()))
    with database:
        return database.executemany(
            "INSERT OR IGNORE INTO changes (id, article_id, body) VALUES (?, ?, ?)", rows
        ).rowcount


if __name__ == "__main__":
    told_to_stop: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda which, frame: told_to_stop.append(which))
    settings = load_settings()
    keep_trail(settings.kafka.brokers, settings.home / "subscribers" / FILE, lambda: not told_to_stop)
