"""The agent that takes batches from the source topic, and the only place that catches everything."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import faust

from schemas.record import Place, Record
from streams.app import commit
from streams.indexer import Indexer
from streams.lease import GenerationLease, Pulse
from streams.ports import LeaseLostError
from streams.source_marks import Verification
from streams.stopwatch import Stage, Stopwatch

logger = logging.getLogger(__name__)


def register_indexer(
    app: faust.App,
    topic: Any,
    indexer: Indexer,
    *,
    pulse: Pulse,
    turn: asyncio.Lock,
    batch_records: int,
    batch_wait_seconds: float,
    verification: Verification,
    stop: Callable[[str], NoReturn],
) -> Any:
    """Register the agent that applies the topic's records through the indexer.

    A batch holds `turn`: whoever takes it has the worker between two batches. `stop` ends the process at once: any
    exception that left the agent would let Faust acknowledge records that nobody handled, so none may leave it.
    """

    async def handle(events: Sequence[Any]) -> None:
        generation = app.consumer_generation_id
        # Records of an older generation are not acknowledged: they are read again from the committed offset.
        live = [event for event in events if event.message.generation_id == generation]
        if not live:
            return
        if verification.generation != generation:
            stop(f"records came in generation {generation} before their topic was verified")
        lease = GenerationLease(
            generation=generation, current_generation=lambda: app.consumer_generation_id, pulse=pulse
        )
        try:
            await indexer.apply([_record(event.message) for event in live], lease)
            lease.check()
        except LeaseLostError as lost:
            logger.info("batch dropped", extra={"action": "batch_dropped", "reason": str(lost), "records": len(live)})
            return
        stopwatch = Stopwatch()
        with stopwatch.stage(Stage.COMMIT), indexer.health.confirming():
            await commit(app, {event.message.tp: event.message.offset + 1 for event in live})
        indexer.counters.count_stages(stopwatch.seconds)
        for event in live:
            event.ack()

    @app.agent(topic, name="index_products", concurrency=1)
    async def index_products(stream: Any) -> None:
        try:
            async for events in stream.noack_take(batch_records, within=batch_wait_seconds):
                async with turn:
                    await handle(events)
        except asyncio.CancelledError:
            if not app.should_stop:
                stop("the agent was cancelled outside of a shutdown")
            raise  # nothing of the batch is acknowledged
        except BaseException as error:  # the agent's boundary: see the docstring
            logger.exception("unknown error")
            stop(f"{type(error).__name__}: {error}")

    return index_products


def _record(message: Any) -> Record:
    headers = message.headers or ()
    pairs = headers.items() if isinstance(headers, dict) else headers
    return Record(
        place=Place(topic=message.topic, partition=message.partition, offset=message.offset),
        key=message.key,
        value=message.value,
        headers=tuple(pairs),
        timestamp_ms=int((message.timestamp or 0) * 1000),
    )
