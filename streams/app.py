"""Makes Faust apps with the rules built in that keep promise 1; `docs/adr/0001-…` has the loss behind each rule."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any, cast

import faust
from aiokafka.errors import IllegalStateError  # type: ignore[import-untyped]
from faust import streams as faust_streams
from faust.types import TP

from schemas.errors import SettingsError
from streams.topics import MAX_DEAD_LETTER_BYTES, MAX_RECORD_BYTES

logger = logging.getLogger(__name__)

FETCH_RETURNS_WITHIN_SECONDS = 1.2
"""More than the one second for which Faust's fetcher asks; see `_quiesce`."""

YEARS_SECONDS = 10 * 365 * 24 * 3600.0


def create_app(
    app_id: str,
    *,
    brokers: str,
    worker_name: str,
    partitions: int,
    batch_records: int,
    session_timeout_seconds: float,
    data_directory: str,
    web_host: str,
    web_port: int,
) -> faust.App:
    """An app whose agents take raw records in batches and acknowledge them by hand.

    Give a table added later, or one with another partition count, a new `app_id`: a running group does not survive it.

    Raises:
        SettingsError: Faust runs without its compiled parts.
    """
    if cast(Any, faust_streams)._CStreamIterator is None:
        # Faust's slow path acknowledges the records of an ended generation that it skips.
        raise SettingsError(
            "faust-streaming has no compiled parts here, and loses records without them",
            hint="unset NO_CYTHON, and install its wheel: pip install --force-reinstall faust-streaming==0.15.3",
        )
    app = faust.App(
        app_id,
        broker=[f"kafka://{broker.strip()}" for broker in brokers.split(",")],
        # A decode error inside Faust stalls or skips records: it decodes nothing, we do.
        key_serializer="raw",
        value_serializer="raw",
        store="memory://",
        datadir=data_directory,
        topic_partitions=partitions,
        topic_disable_leader=True,
        topic_allow_declare=False,  # `lockstep topics apply` makes the changelog with the right policy
        table_standby_replicas=0,
        # Waiting would hang a rebalance and SIGTERM for as long as Qdrant is down.
        stream_wait_empty=False,
        stream_buffer_maxsize=4 * batch_records,
        # After this idle time aiokafka leaves the group, and Faust never rejoins.
        broker_max_poll_interval=YEARS_SECONDS,
        broker_session_timeout=session_timeout_seconds,
        broker_request_timeout=max(90.0, session_timeout_seconds),
        broker_heartbeat_interval=min(3.0, session_timeout_seconds / 5),
        broker_rebalance_timeout=60.0,
        consumer_group_instance_id=worker_name,
        canonical_url=f"http://{worker_name}",
        consumer_auto_offset_reset="earliest",
        consumer_max_fetch_size=MAX_RECORD_BYTES,
        producer_max_request_size=MAX_DEAD_LETTER_BYTES,
        producer_linger=0.0,
        web_bind=web_host,
        web_host=web_host,
        web_port=web_port,
        web_stats_enabled=False,
        web_graph_enabled=False,
        web_tables_enabled=False,
        web_router_enabled=False,
    )
    app.on_rebalance_complete.connect(cast(Any, _quiesce))  # called with no positional argument but the app
    app.on_partitions_revoked.connect(cast(Any, _forget_full_buffers))
    return app


async def _forget_full_buffers(app: faust.App, *_: Any, **__: Any) -> None:
    """Have no partition read again because its queue, emptied by the rebalance, is no longer full.

    Faust would read it during the recovery, before the source topic is verified.
    """
    cast(Any, app.consumer)._buffered_partitions.clear()


async def _quiesce(app: faust.App, **_: Any) -> None:
    """Let the fetch in flight return before Faust resumes the source partitions after a recovery.

    Otherwise records fetched before the queues are cleared are dropped, and then committed past as an offset gap
    (faust-streaming/faust#596).
    """
    app.consumer.stop_flow()
    app.flow_control.suspend()
    await asyncio.sleep(FETCH_RETURNS_WITHIN_SECONDS)
    await cast(Any, app.consumer)._thread.call_thread(_rewind_uncommitted, app)


async def _rewind_uncommitted(app: faust.App) -> None:
    """Go to the beginning of each partition of which the group has committed nothing.

    A fetch that a rebalance or the end of a recovery overtakes takes records of every partition that is assigned, for
    Faust's set of those to read is empty then, and drops them. Where nothing is committed, what Faust goes back to is
    no offset, or zero: at both aiokafka stays where it is, past those records.
    """
    consumer = cast(Any, app.consumer)._thread._consumer
    source = [tp for tp in consumer.assignment() if tp.topic not in app.tables.changelog_topics]
    if uncommitted := [tp for tp in source if not await consumer.committed(tp)]:
        with suppress(IllegalStateError):  # one of them has left: the rebalance that took it ends here, too
            await consumer.seek_to_beginning(*uncommitted)


def ready_partitions(app: faust.App, topic: str) -> frozenset[int] | None:
    """The partitions of a topic that this worker reads; None before the first assignment and during a rebalance."""
    if app.rebalancing or not app.consumer_generation_id or app.consumer_generation_id < 0:
        return None
    return assigned_partitions(app, topic)


def assigned_partitions(app: faust.App, topic: str) -> frozenset[int]:
    """The partitions of a topic that the group has given this worker, recovered or not."""
    return frozenset(tp.partition for tp in app.consumer.assignment() if tp.topic == topic)


def recovered(app: faust.App) -> bool:
    """Whether the tables hold what their changelogs hold."""
    tables = cast(Any, app.tables)  # the interface does not show its recovery
    return bool(tables.recovery.completed.is_set()) and not app.in_recovery


def on_recovery(app: faust.App, table: Any, callback: Callable[[], Awaitable[None]]) -> None:
    """Have the callback called whenever the table is recovered, before a source partition is resumed.

    Faust also calls for a recovery that a rebalance has overtaken, while the store reads for the next one.
    """

    async def if_current() -> None:
        if cast(Any, app.tables).recovery._generation_id == app.consumer_generation_id:
            await callback()

    table.on_recover(if_current)


def has_broker(app: faust.App) -> bool:
    """Whether the group's coordinator answers: aiokafka forgets it at the first heartbeat that fails."""
    return cast(Any, app.consumer)._thread._consumer._coordinator.coordinator_id is not None


async def commit(app: faust.App, offsets: Mapping[TP, int]) -> bool:
    """Commit exactly these offsets, each the next one to read; False when a partition of them has left meanwhile.

    Faust's own commit creeps by one record an interval where compaction has left gaps.
    """
    generation = app.consumer_generation_id
    committed = await cast(Any, app.consumer)._commit_offsets(offsets)
    # Faust discards the offsets of partitions that are not ours.
    ours = offsets.keys() <= app.consumer.assignment()
    return bool(committed) and ours and app.consumer_generation_id == generation


async def confirmed(sent: Iterable[Awaitable[Any]]) -> None:
    """Wait until the broker has confirmed all that was sent; raises the first refusal.

    Cancelled, it leaves what was sent alone: Faust sets the result of each, and cannot when it was cancelled.
    """
    waiting = [asyncio.ensure_future(one) for one in sent]
    if waiting:
        await asyncio.wait(waiting)
    for one in waiting:
        one.result()


async def read_from(app: faust.App, offsets: Mapping[TP, int]) -> bool:
    """Commit these offsets and go there, while the partitions are paused; False when one of them has left meanwhile."""
    if not await commit(app, offsets):
        return False
    # After a recovery Faust seeks to what is committed, but for an offset of zero, at which aiokafka does nothing.
    await cast(Any, app.consumer)._thread.seek_wait(offsets)
    return True


async def leave_group(app: faust.App) -> None:
    """Give up the static membership, for the group to share its partitions out anew.

    Otherwise a worker that comes back within its session is given the very partitions that it had, and where these
    were shared out while the source topic was away, there are none of it among them. aiokafka never leaves with a name.
    """
    thread = cast(Any, app.consumer)._thread
    coordinator = thread._consumer._coordinator
    coordinator._group_instance_id = None
    await thread.call_thread(coordinator._maybe_leave_group)
