"""The agent that takes batches from the source topic, and the only place that catches everything."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any, NoReturn

import faust

from streams.batch_line import BatchLine

logger = logging.getLogger(__name__)


def register_indexer(
    app: faust.App,
    topic: Any,
    line: BatchLine,
    *,
    batch_records: int,
    batch_wait_seconds: float,
    stop: Callable[[str], NoReturn],
) -> Any:
    """Register the agent that hands the topic's records to the line of batches.

    `stop` ends the process at once: any exception that left the agent would let Faust acknowledge records that nobody
    handled, so none may leave it.
    """

    @app.agent(topic, name="index_products", concurrency=1)
    async def index_products(stream: Any) -> None:
        try:
            async for events in stream.noack_take(batch_records, within=batch_wait_seconds):
                await line.offer(events)
        except asyncio.CancelledError:
            if not app.should_stop:
                stop("the agent was cancelled outside of a shutdown")
            raise  # nothing of the batch is acknowledged
        except BaseException as error:  # the agent's boundary: see the docstring
            logger.exception("unknown error")
            stop(f"{type(error).__name__}: {error}")

    return index_products
