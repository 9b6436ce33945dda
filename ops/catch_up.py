"""Waits until the pipeline has applied what Postgres had committed."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Self

from connectors.debezium.config import SLOT_NAME
from connectors.kafka import KafkaAdmin
from connectors.postgres import Postgres
from ops.settings import Settings
from ops.stores import open_rows
from schemas.errors import BrokerError, ErrorKind, SourceError
from streams.topics import APP_ID, PRODUCT_CHANGES

PATIENCE_SECONDS = 120.0
SPEAK_EVERY_SECONDS = 5.0
LOOK_EVERY_SECONDS = 0.2


class Pipeline:
    """How far capture and worker have come."""

    def __init__(self, rows: Postgres, admin: KafkaAdmin, say: Callable[[str], None]) -> None:
        self._rows = rows
        self._admin = admin
        self._say = say

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: Settings, say: Callable[[str], None] = lambda line: None) -> AsyncIterator[Self]:
        """Connect as the settings say; closed at the end. `say` takes a line now and then while it waits."""
        async with open_rows(settings) as rows, KafkaAdmin(settings.kafka.brokers) as admin:
            yield cls(rows, admin, say)

    async def settle(self) -> None:
        """Wait until everything committed before the call is on the topic, and the worker has committed all of that.

        Raises:
            SourceError: Debezium does not confirm the WAL, or its slot is gone.
            BrokerError: The worker makes no progress towards the high watermarks.
        """
        await until_captured(self._rows)
        marks = {p: marks.high for p, marks in (await self._admin.watermarks(PRODUCT_CHANGES)).items()}
        await self._until_reached(marks)

    async def _until_reached(self, marks: dict[int, int]) -> None:
        """Patience is counted from the last progress: a backlog may take as long as it takes."""
        fewest = await self._behind(marks)
        progressed = spoke = time.monotonic()
        while behind := await self._behind(marks):
            now = time.monotonic()
            if behind < fewest:
                fewest, progressed = behind, now
            if now - progressed > PATIENCE_SECONDS:
                raise BrokerError(
                    f"the worker has been {behind} records behind for {PATIENCE_SECONDS:.0f} s",
                    hint="see the worker's /health/ready",
                )
            if now - spoke > SPEAK_EVERY_SECONDS:
                spoke = now
                self._say(f"waiting for the worker: {behind:,} records behind")
            await asyncio.sleep(LOOK_EVERY_SECONDS)

    async def _behind(self, marks: dict[int, int]) -> int:
        committed = await self._admin.committed(APP_ID, PRODUCT_CHANGES)
        return sum(max(0, mark - committed.get(partition, 0)) for partition, mark in marks.items())


async def until_captured(rows: Postgres) -> None:
    """Wait until everything that Postgres has committed by now is on the topic.

    Raises:
        SourceError: Debezium does not confirm the WAL, or its slot is gone.
    """
    position = await rows.wal_position()
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not await _confirmed(rows, position):
                await asyncio.sleep(LOOK_EVERY_SECONDS)
    except TimeoutError as error:
        raise SourceError(
            f"debezium has not confirmed WAL position {position} within {PATIENCE_SECONDS:.0f} s",
            hint="lockstep connector status",
        ) from error


async def _confirmed(rows: Postgres, position: str) -> bool:
    confirmed = await rows.slot_confirmed(SLOT_NAME, position)
    if confirmed is None:
        raise SourceError(
            f"replication slot {SLOT_NAME} does not exist: nothing is captured",
            kind=ErrorKind.OUTAGE,
            hint="lockstep connector apply",
        )
    return confirmed
