"""Waits until the pipeline has applied what Postgres had committed."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
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
LOOK_EVERY_SECONDS = 0.2


class Pipeline:
    """How far capture and worker have come."""

    def __init__(self, rows: Postgres, admin: KafkaAdmin) -> None:
        self._rows = rows
        self._admin = admin

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: Settings) -> AsyncIterator[Self]:
        """Connect as the settings say; closed at the end."""
        async with open_rows(settings) as rows, KafkaAdmin(settings.kafka.brokers) as admin:
            yield cls(rows, admin)

    async def settle(self) -> None:
        """Wait until everything committed before the call is on the topic, and the worker has committed all of that.

        Raises:
            SourceError: Debezium does not confirm the WAL, or its slot is gone.
            BrokerError: The worker does not reach the high watermarks.
        """
        position = await self._rows.wal_position()
        if not await _within_patience(lambda: self._confirmed(position)):
            raise SourceError(
                f"debezium has not confirmed WAL position {position} within {PATIENCE_SECONDS:.0f} s",
                hint="lockstep connector status",
            )
        marks = {p: marks.high for p, marks in (await self._admin.watermarks(PRODUCT_CHANGES)).items()}

        async def reached() -> bool:
            return not await self._behind(marks)

        if not await _within_patience(reached):
            raise BrokerError(
                f"the worker is still {await self._behind(marks)} records behind after {PATIENCE_SECONDS:.0f} s",
                hint="see the worker's /health/ready",
            )

    async def lag_records(self) -> int:
        """High watermarks minus committed offsets, over all partitions."""
        marks = await self._admin.watermarks(PRODUCT_CHANGES)
        return await self._behind({partition: mark.high for partition, mark in marks.items()})

    async def _behind(self, marks: dict[int, int]) -> int:
        committed = await self._admin.committed(APP_ID, PRODUCT_CHANGES)
        return sum(max(0, mark - committed.get(partition, 0)) for partition, mark in marks.items())

    async def _confirmed(self, position: str) -> bool:
        confirmed = await self._rows.slot_confirmed(SLOT_NAME, position)
        if confirmed is None:
            raise SourceError(
                f"replication slot {SLOT_NAME} does not exist: nothing is captured",
                kind=ErrorKind.OUTAGE,
                hint="lockstep connector apply",
            )
        return confirmed


async def _within_patience(check: Callable[[], Awaitable[bool]]) -> bool:
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not await check():
                await asyncio.sleep(LOOK_EVERY_SECONDS)
    except TimeoutError:
        return False
    return True
