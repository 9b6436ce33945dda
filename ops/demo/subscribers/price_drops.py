"""A subscriber on Faust: tells of prices that fall by a tenth or more within an hour, in however many steps."""

import asyncio
import logging
import os
from decimal import Decimal
from typing import Any

import faust
from pydantic import ValidationError

from connectors.kafka import KafkaAdmin
from ops.settings import Settings, load_settings
from ops.terminal import out
from schemas.fanout_event import PriceChanged
from streams.app import create_app
from streams.topics import PARTITIONS, TopicDeclaration

GROUP = "price-drops-v1"
TOPIC = PriceChanged.topic
TABLE = "highest-prices"
WINDOW_SECONDS = 3600.0
FALLEN = Decimal("0.9")
KEPT = {"cleanup.policy": "compact,delete", "retention.ms": str(4 * 3600 * 1000)}
NAME = f"{GROUP}-{TABLE}-changelog"
CHANGELOG = TopicDeclaration(name=NAME, key="", partitions=PARTITIONS, writer=GROUP, readers=GROUP, config=KEPT)

logger = logging.getLogger(__name__)


def create_watcher(settings: Settings) -> faust.App:
    """The app. What it remembers is a maximum, so an event that comes twice changes nothing and is told twice."""
    app = create_app(
        GROUP,
        brokers=settings.kafka.brokers,
        worker_name=f"{GROUP}-1",
        partitions=PARTITIONS,
        batch_records=1000,
        session_timeout_seconds=10,
        data_directory=str(settings.home / "subscribers" / GROUP),
        web_host="127.0.0.1",
        web_port=6066,
    )
    app.conf.web_enabled = False  # so that it takes no worker's port
    highest = app.Table(TABLE, default=int, partitions=PARTITIONS).tumbling(WINDOW_SECONDS, expires=2 * WINDOW_SECONDS)

    def notice(price: PriceChanged) -> None:
        old, new = Decimal(price.old_price or 0), Decimal(price.new_price or "Infinity")
        top = max(old, Decimal(highest[price.article_id].current()))
        highest[price.article_id] = str(top)
        if top and new <= top * FALLEN:
            out.print(f"{price.article_id} fell from {top} to {new}, by {1 - new / top:.0%}", soft_wrap=True)

    @app.agent(app.topic(TOPIC))
    async def watch_prices(stream: Any) -> None:
        async for event in stream.events():
            try:  # without an await inside, so that a stop cannot come in the middle of an event
                notice(PriceChanged.model_validate_json(event.value))
            except ValidationError:
                logger.warning("record skipped: it is no price change", extra={"action": "event_skipped"})
            except Exception:
                logger.exception("unknown error")
                os._exit(70)  # an exception that left the agent would have Faust pass over its event

    return app


async def _prepare(settings: Settings) -> None:
    (settings.home / "subscribers").mkdir(parents=True, exist_ok=True)
    async with KafkaAdmin(settings.kafka.brokers) as admin:
        await admin.apply([CHANGELOG])  # by the worker's rules Faust makes no topic itself


if __name__ == "__main__":
    settings = load_settings()
    asyncio.run(_prepare(settings))
    worker = faust.Worker(create_watcher(settings), quiet=True, loglevel="warning", redirect_stdouts=False)
    worker.spinner = None  # its control characters
    worker.execute_from_commandline()
