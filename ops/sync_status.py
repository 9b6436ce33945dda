"""How the pipeline stands, part by part: a part that cannot be asked is null, with its reason."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

from connectors.debezium.config import CONNECTOR_NAME, SLOT_NAME
from connectors.debezium.connect import ConnectClient
from connectors.debezium.failures import failure_hint, failure_reason
from connectors.kafka import KafkaAdmin
from connectors.postgres import Postgres
from connectors.qdrant import QdrantStore
from ops.dead_letter_jobs import LettersAtHand
from ops.reconcile.keeping import Keeping
from ops.settings import Settings
from ops.status.change_times import read_change_times
from ops.status.report import (
    ConnectorState,
    GroupStatus,
    IndexStatus,
    LagStatus,
    MemberStatus,
    PartitionLag,
    SlotStatus,
    SyncStatus,
)
from ops.status.thresholds import judge
from ops.status.workers import add_up, ask_workers
from schemas.errors import ErrorKind, LockstepError, SourceError
from streams.topics import APP_ID, PRODUCT_CHANGES

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class _Rows:
    count: int
    estimated: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer(Generic[Result]):
    """What a part says, or why it does not."""

    told: Result | None = None
    reason: str | None = None
    hint: str | None = None


async def sync_status(
    settings: Settings,
    rows: Postgres,
    store: QdrantStore,
    admin: KafkaAdmin,
    *,
    within_seconds: float | None = None,
    before: SyncStatus | None = None,
    letters: LettersAtHand | None = None,
) -> SyncStatus:
    """Ask every part, all at once, and judge the answers. Raises nothing of a part's.

    Each part has `within_seconds`, by default as the settings say. `before` is an earlier look: with it, a lag that
    stands still is told from one that shrinks. Who looks again and again keeps `letters`: without them the whole topic
    of dead letters is read each time.
    """
    within = within_seconds or settings.status.timeout_seconds
    asked: Mapping[str, Awaitable[Any]] = {
        "rows": _rows(settings, rows),
        "index": _index(settings, store),
        "lag": _lag(settings, admin),
        "group": _group(admin),
        "slot": _slot(rows),
        "connector": _connector(settings, within),
        "open_dead_letters": _open_dead_letters(letters or LettersAtHand(settings.kafka.brokers, admin)),
    }
    answers, workers = await asyncio.gather(
        asyncio.gather(*(_answer(part, within) for part in asked.values())),
        ask_workers(settings.status.worker_urls, within_seconds=within),
    )
    by_part = dict(zip(asked, answers, strict=True))
    counted, reasons = by_part["rows"].told, by_part["open_dead_letters"].told
    at = datetime.now(UTC)
    status = SyncStatus(
        at=at,
        rows=counted.count if counted else None,
        rows_estimated=counted.estimated if counted else False,
        index=by_part["index"].told,
        lag=_compared(by_part["lag"].told, at, before),
        group=by_part["group"].told,
        workers=workers,
        work=add_up(workers),
        slot=by_part["slot"].told,
        connector=by_part["connector"].told,
        open_dead_letters=None if reasons is None else reasons.total(),
        dead_letters_by_reason=reasons,
        last_reconcile=Keeping(settings.home).last_run(),
        unavailable={name: answer.reason for name, answer in by_part.items() if answer.reason},
        hints={name: answer.hint for name, answer in by_part.items() if answer.hint},
    )
    return judge(status, settings.status)


async def _answer(part: Awaitable[Result], within_seconds: float) -> _Answer[Result]:
    try:
        async with asyncio.timeout(within_seconds):
            return _Answer(told=await part)
    except TimeoutError:
        return _Answer(reason=f"no answer within {within_seconds:g} s")
    except LockstepError as error:
        return _Answer(reason=str(error), hint=error.hint)


async def _rows(settings: Settings, rows: Postgres) -> _Rows:
    estimate = await rows.estimated_count()
    if estimate is not None and estimate > settings.status.exact_rows:
        return _Rows(estimate, estimated=True)
    return _Rows(await rows.count(), estimated=False)


async def _index(settings: Settings, store: QdrantStore) -> IndexStatus:
    live = await store.live_collection()
    states = await store.collections.all()
    # The alias may move between the two questions; the collection itself stays.
    state = next((state for state in states if state.name == live.name), None)
    return IndexStatus(
        alias=settings.qdrant.alias,
        collection=live.name,
        points=state.points if state else await store.count(live.name),
        recipe=live.recipe.recipe_id,
        model=live.recipe.model,
        dimensions=live.recipe.dimensions,
        phase=state.phase if state else None,
        others=[other.name for other in states if other.name != live.name],
    )


async def _lag(settings: Settings, admin: KafkaAdmin) -> LagStatus:
    # First: a commit between the two would lie past the watermark.
    committed = await admin.committed(APP_ID, PRODUCT_CHANGES)
    partitions = [
        PartitionLag(
            partition=number,
            low_watermark=marks.low,
            committed=(reached := committed.get(number, marks.low)),
            high_watermark=marks.high,
            lag_records=max(0, marks.high - reached),
        )
        for number, marks in (await admin.watermarks(PRODUCT_CHANGES)).items()
    ]
    times = await read_change_times(settings.kafka.brokers, PRODUCT_CHANGES, partitions)
    lag_records = sum(of.lag_records for of in partitions)
    return LagStatus(
        lag_records=lag_records,
        newest_indexed_at=times.newest_indexed,
        oldest_waiting_at=times.oldest_waiting if lag_records else None,
        partitions=partitions,
    )


def _compared(lag: LagStatus | None, at: datetime, before: SyncStatus | None) -> LagStatus | None:
    """The lag, with how long it stands still by now."""
    if lag is None or before is None or before.lag is None or not lag.lag_records:
        return lag
    reached = [(of.partition, of.committed) for of in lag.partitions]
    if not before.lag.lag_records or reached != [(of.partition, of.committed) for of in before.lag.partitions]:
        return lag.model_copy(update={"still_seconds": 0.0})
    still = (before.lag.still_seconds or 0.0) + (at - before.at).total_seconds()
    return lag.model_copy(update={"still_seconds": still})


async def _group(admin: KafkaAdmin) -> GroupStatus:
    group = await admin.group(APP_ID, PRODUCT_CHANGES)
    members = [MemberStatus(name=name, partitions=list(numbers)) for name, numbers in sorted(group.partitions.items())]
    return GroupStatus(state=group.state, members=members)


async def _slot(rows: Postgres) -> SlotStatus:
    slot = await rows.slot_state(SLOT_NAME)
    if slot is None:
        raise SourceError(
            f"replication slot {SLOT_NAME} does not exist: nothing is captured",
            kind=ErrorKind.OUTAGE,
            hint="lockstep connector apply",
        )
    return SlotStatus(
        name=SLOT_NAME,
        active=slot.active,
        confirmed=slot.confirmed,
        lag_bytes=slot.lag_bytes,
        held_back_bytes=slot.held_back_bytes,
        safe_wal_bytes=slot.safe_wal_bytes,
        wal_status=slot.wal_status,
    )


async def _connector(settings: Settings, within_seconds: float) -> ConnectorState:
    async with ConnectClient(
        settings.connect.url, timeout_seconds=within_seconds, patience_seconds=within_seconds
    ) as connect:
        status = await connect.status(CONNECTOR_NAME)
    if status is None:
        return ConnectorState(name=CONNECTOR_NAME, state="UNKNOWN", tasks=[])
    return ConnectorState(
        name=status.name,
        state=status.state,
        tasks=[task.state for task in status.tasks],
        failure=None if status.failure is None else failure_reason(status.failure),
        hint=None if status.failure is None else failure_hint(status.failure),
    )


async def _open_dead_letters(letters: LettersAtHand) -> Counter[str]:
    """The open ones, by the class of the error."""
    return Counter(found.letter.error_class for found in await letters.read())
