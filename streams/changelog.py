"""The topic behind the worker's table, as the worker writes it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from streams.ports import OrderedTopics

Entry = tuple[int, bytes, bytes | None]
"""Partition, key and value of a changelog record; no value forgets the key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangelogRecord:
    """One record of it."""

    topic: str
    partition: int
    key: bytes
    body: bytes | None

    def headers(self) -> list[tuple[str, bytes]]:
        """It has none."""
        return []


class Changelog:
    """Not through Faust's own producer: a record of it costs the event loop four times as much."""

    def __init__(self, table: Any, producer: OrderedTopics) -> None:
        self._table = table
        self._producer = producer

    async def send(self, entries: Sequence[Entry]) -> None:
        """Send them behind all that was sent before; returns once the broker has confirmed each.

        The table's store is told where they stand, so that a rebalance does not read them back.

        Raises:
            BrokerError: The broker refuses one.
        """
        if not entries:
            return
        topic: str = self._table.changelog_topic.get_topic_name()
        written = await self._producer.publish(
            [ChangelogRecord(topic=topic, partition=p, key=key, body=value) for p, key, value in entries]
        )
        for stretch in written:
            self._table.data.note_written(stretch)
