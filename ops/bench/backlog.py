"""How many records the workers have committed, looked at often enough to time them by it."""

import asyncio
import time

from connectors.kafka import KafkaAdmin
from schemas.errors import BrokerError
from streams.topics import APP_ID, PRODUCT_CHANGES

LOOK_EVERY_SECONDS = 0.02
PATIENCE_SECONDS = 120.0


async def published_records(admin: KafkaAdmin) -> int:
    """Offsets that the source topic has given out, from its beginning on. Raises `BrokerError`."""
    return sum(mark.high for mark in (await admin.watermarks(PRODUCT_CHANGES)).values())


async def committed_records(admin: KafkaAdmin) -> int:
    """Offsets that the workers have committed, from the topic's beginning on. Raises `BrokerError`."""
    return sum((await admin.committed(APP_ID, PRODUCT_CHANGES)).values())


async def until_committed(admin: KafkaAdmin, records: int) -> None:
    """Return within some 20 ms of the commit of so many offsets, counted from the topic's beginning.

    Raises:
        BrokerError: The workers made no progress for two minutes.
    """
    most, progressed = -1, time.monotonic()
    while (committed := await committed_records(admin)) < records:
        if committed > most:
            most, progressed = committed, time.monotonic()
        elif time.monotonic() - progressed > PATIENCE_SECONDS:
            raise BrokerError(
                f"the workers stand at {committed} of {records} records for {PATIENCE_SECONDS:.0f} s",
                hint="see the worker's /health/ready",
            )
        await asyncio.sleep(LOOK_EVERY_SECONDS)
