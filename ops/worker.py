"""Joins everything into a worker and runs it until it is told to stop."""

import asyncio
import logging
import os
import signal
import socket
import time
from collections.abc import Coroutine, Iterable
from contextlib import AsyncExitStack
from functools import partial
from importlib.metadata import version
from typing import Any, NoReturn

import faust
from aiokafka.errors import KafkaError  # type: ignore[import-untyped]

from connectors.kafka import KafkaAdmin
from connectors.ordered_producer import OrderedProducer
from ops.ending import UNKNOWN_ERROR_EXIT_CODE, end, end_with_any_thread, stop_at_once, stop_for
from ops.settings import Settings
from ops.source import look_at_source
from ops.stores import open_embedders, open_rows, open_store
from ops.terminal import ExitCode
from ops.trail import FileTrail
from ops.watchdog import Watchdog
from schemas.errors import BrokerError, ErrorKind, LockstepError, SettingsError
from streams import topics
from streams.agents import register_indexer
from streams.app import commit, create_app, has_broker, ready_partitions, recovered
from streams.batch_line import BatchLine
from streams.changelog import Changelog
from streams.counters import Counters
from streams.dead_letters import FaustDeadLetters
from streams.health import Health
from streams.indexer import Indexer
from streams.lag import LagWatch
from streams.late_deletes import LateDeletes
from streams.lease import Pulse
from streams.recent import Recent
from streams.source_identity import SourceGuard
from streams.source_marks import FaustMarks, verify_source_at_recovery
from streams.tables import FaustIndexedRows, declare_table
from streams.web import register_pages
from streams.worker_state import WorkerState

logger = logging.getLogger(__name__)

BROKER_PATIENCE_SECONDS = 60.0
STOP_WITHIN_SECONDS = 10.0
LOOK_EVERY_SECONDS = 0.05


async def run_worker(settings: Settings) -> None:
    """Run one worker until SIGTERM or SIGINT.

    Raises:
        SettingsError: The web's port is taken, or the data directory cannot be made.
        BrokerError: The broker did not answer for a minute, or lacks a topic.
    """
    _check_port(settings)
    await _wait_for_topics(settings)
    end_with_any_thread()
    health = Health()
    counters = Counters()
    pulse = Pulse(limit_seconds=settings.worker.session_timeout_seconds / 2, stop=stop_at_once)
    async with AsyncExitStack() as opened:
        store = await opened.enter_async_context(open_store(settings))
        rows = await opened.enter_async_context(open_rows(settings, connect_now=False))
        app = _create_app(settings)
        faust_table = declare_table(app)
        producer = await opened.enter_async_context(
            OrderedProducer(settings.kafka.brokers, max_record_bytes=topics.MAX_RECORD_BYTES)
        )
        changelog = Changelog(faust_table, producer)
        table = FaustIndexedRows(faust_table, changelog.send)
        admin = await opened.enter_async_context(KafkaAdmin(settings.kafka.brokers))
        verification = verify_source_at_recovery(
            app,
            faust_table,
            SourceGuard(
                marks=FaustMarks(faust_table, changelog.send),
                look=lambda: look_at_source(admin),
                epoch=settings.worker.epoch,
            ),
            topic=topics.PRODUCT_CHANGES,
            stop=stop_for,
        )
        embedders = open_embedders(settings)
        late_deletes = LateDeletes(
            store=store,
            table=table,
            session_timeout_seconds=settings.worker.session_timeout_seconds,
            request_timeout_seconds=settings.qdrant.timeout_seconds,
            stop=stop_at_once,
        )
        indexer = Indexer(
            store=store,
            embedders=embedders,
            rows=rows,
            table=table,
            dead_letters=FaustDeadLetters(app.topic(topics.DEAD_LETTERS)),
            health=health,
            counters=counters,
            epoch=settings.worker.epoch,
            set_aside=settings.set_aside_places,
            trail=FileTrail(settings.worker.trail, settings.worker.name) if settings.worker.trail else None,
            note_deletes=late_deletes.note,
            events=producer if settings.worker.fanout else None,
        )
        line = BatchLine(
            indexer=indexer,
            pulse=pulse,
            verification=verification,
            current_generation=lambda: app.consumer_generation_id,
            commit=partial(commit, app),
            stop=stop_at_once,
            batch_records=settings.worker.batch_records,
        )
        register_indexer(
            app,
            app.topic(topics.PRODUCT_CHANGES, partitions=topics.PARTITIONS),
            line,
            batch_records=settings.worker.batch_records,
            batch_wait_seconds=settings.worker.batch_wait_seconds,
            stop=stop_at_once,
        )

        def partitions() -> frozenset[int] | None:
            return ready_partitions(app, topics.PRODUCT_CHANGES)

        def unready_because() -> str | None:
            if partitions() is None:
                return "waiting for partitions"
            if not recovered(app):
                return "recovering the table"
            return health.trouble() or (None if has_broker(app) else "the broker does not answer")

        lag = LagWatch(broker=admin, in_progress=lambda: indexer.in_progress)
        recent = Recent(counters=counters)
        started = time.monotonic()

        def state() -> WorkerState:
            live = indexer.live
            return WorkerState(
                worker=settings.worker.name,
                version=version("lockstep"),
                pid=os.getpid(),
                uptime_seconds=time.monotonic() - started,
                unready_because=unready_because(),
                collection=live.name if live else None,
                recipe=live.recipe.recipe_id if live else None,
                partitions=lag.of(partitions() or frozenset()),
                table_entries=len(table),
                table_recoveries=table.recoveries,
                late_deletes_waiting=late_deletes.waiting,
                health=health,
                counters=counters,
                activity=recent.activity(),
            )

        register_pages(app, state=state, silence_seconds=pulse.silence_seconds)
        watchdog = Watchdog(pulse, partitions, settings.worker.session_timeout_seconds, stop_at_once)
        background = [pulse.keep(), line.keep(), late_deletes.keep(), lag.keep(), recent.keep(), _warm_up(indexer)]
        await _run(app, background, watchdog, line, health)


async def _wait_for_topics(settings: Settings) -> None:
    needed = [topics.PRODUCT_CHANGES, topics.DEAD_LETTERS, topics.CHANGELOG]
    if settings.worker.fanout:
        needed += topics.EVENTS
    async with KafkaAdmin(settings.kafka.brokers) as admin:
        await admin.wait_until_ready(BROKER_PATIENCE_SECONDS)
        existing = await admin.describe(needed)
    for name in needed:
        if name not in existing:
            raise BrokerError(f"topic {name} does not exist", kind=ErrorKind.OUTAGE, hint="lockstep topics apply")
        if (found := existing[name].partitions) != topics.PARTITIONS:
            raise BrokerError(
                f"topic {name} has {found} partitions, not {topics.PARTITIONS}",
                kind=ErrorKind.OUTAGE,
                hint="make the topic anew and raise LOCKSTEP_WORKER_EPOCH: docs/table.md"
                if name == topics.PRODUCT_CHANGES
                else "make the topic anew with `lockstep topics apply`",
            )


def _check_port(settings: Settings) -> None:
    host, port = settings.worker.web_host, settings.worker.web_port
    try:
        socket.create_server((host, port)).close()
    except OSError as error:
        raise SettingsError(
            f"LOCKSTEP_WORKER_WEB_PORT={port} cannot be used on {host}: {error.strerror}",
            hint="give each worker its own LOCKSTEP_WORKER_WEB_PORT",
        ) from error


def _create_app(settings: Settings) -> faust.App:
    worker = settings.worker
    directory = settings.home / "workers" / worker.name
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"cannot make {directory}: {error.strerror}", hint="set LOCKSTEP_HOME") from error
    return create_app(
        topics.APP_ID,
        brokers=settings.kafka.brokers,
        worker_name=worker.name,
        partitions=topics.PARTITIONS,
        batch_records=worker.batch_records,
        session_timeout_seconds=worker.session_timeout_seconds,
        data_directory=str(directory),
        web_host=worker.web_host,
        web_port=worker.web_port,
    )


def _crash_reason(app: faust.App) -> str:
    reason = app.crash_reason
    if isinstance(reason, LockstepError):
        return f"{reason}; try: {reason.hint}" if reason.hint else str(reason)
    return f"faust crashed: {reason!r}"


async def _warm_up(indexer: Indexer) -> None:
    """Load the model while the group is joined; without Qdrant the first batch does it."""
    try:
        indexer.live = await indexer.store.live_collection()
        await indexer.embedders.for_recipe(indexer.live.recipe)
    except LockstepError as error:
        logger.info("model not loaded yet", extra={"action": "warm_up", "reason": str(error)})


async def _run(
    app: faust.App,
    background: Iterable[Coroutine[Any, Any, None]],
    watchdog: Watchdog,
    line: BatchLine,
    health: Health,
) -> NoReturn:
    """Run the app until it is told to stop; the process ends here."""
    loop = asyncio.get_running_loop()
    told_to_stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told_to_stop.set)
    beside = [asyncio.create_task(work) for work in background]
    watchdog.start()
    starting = asyncio.create_task(app.start())
    stopping = asyncio.create_task(told_to_stop.wait())
    crash = asyncio.create_task(app.wait_until_stopped())
    logger.info("worker starts", extra={"action": "worker_start", "web": f"{app.conf.web_bind}:{app.conf.web_port}"})
    await asyncio.wait({stopping, crash, starting}, return_when=asyncio.FIRST_COMPLETED)
    if starting.done() and (error := starting.exception()):
        stop_at_once(
            f"cannot start: {error}",
            ExitCode.UNREACHABLE if isinstance(error, KafkaError) else UNKNOWN_ERROR_EXIT_CODE,
        )
    await asyncio.wait({stopping, crash}, return_when=asyncio.FIRST_COMPLETED)
    if not told_to_stop.is_set():
        stop_at_once(_crash_reason(app))
    watchdog.stop()
    await _until_between_batches(line, health)
    for task in beside:
        task.cancel()
    logger.info("worker stopped", extra={"action": "worker_stop"})
    # Not Faust's own stop: it waits for a broker that is gone, and there is nothing to leave. Offsets are committed
    # with each batch, and a static member stays one until its session ends.
    end(ExitCode.DONE)


async def _until_between_batches(line: BatchLine, health: Health) -> None:
    """Let the batches under way come to their end, unless they are held; none begins after them."""
    resting = asyncio.create_task(line.rest())
    until = time.monotonic() + STOP_WITHIN_SECONDS
    while not resting.done() and health.trouble() is None and time.monotonic() < until:
        await asyncio.wait({resting}, timeout=LOOK_EVERY_SECONDS)
