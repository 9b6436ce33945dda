"""How the pipeline stands, part by part: a part that cannot be asked is null, with its reason."""

import asyncio
from collections.abc import Awaitable, Mapping
from datetime import UTC, datetime
from typing import TypeVar

from pydantic import BaseModel, Field

from connectors.debezium.config import CONNECTOR_NAME, SLOT_NAME
from connectors.debezium.connect import ConnectClient
from connectors.kafka import KafkaAdmin
from connectors.postgres import Postgres
from connectors.qdrant import QdrantStore
from ops.dead_letters import Selection, find_letters
from ops.reconcile.keeping import Keeping
from ops.reconcile.report import ReconcileRun
from ops.settings import Settings
from schemas.errors import ErrorKind, LockstepError, SourceError
from streams.topics import APP_ID, PRODUCT_CHANGES

WITHIN_SECONDS = 5.0

Result = TypeVar("Result")


class IndexStatus(BaseModel):
    """The collection behind the alias."""

    alias: str
    collection: str
    points: int
    recipe: str = Field(description="The recipe's id.")
    model: str
    dimensions: int


class PartitionLag(BaseModel):
    """How far the worker has come in a partition of the source topic."""

    partition: int
    committed: int = Field(description="The next offset that is read.")
    high_watermark: int
    lag_records: int


class LagStatus(BaseModel):
    """How far the worker has come in the source topic."""

    lag_records: int
    partitions: list[PartitionLag]


class SlotStatus(BaseModel):
    """The replication slot that Debezium reads."""

    name: str
    active: bool
    confirmed: str | None = Field(description="The WAL position that Debezium has confirmed.")
    lag_bytes: int | None = Field(description="The WAL beyond that, which Postgres holds back.")
    wal_status: str | None = Field(description="Postgres's word: `lost` means that changes are gone.")


class ConnectorState(BaseModel):
    """The connector, in Kafka Connect's words."""

    name: str
    state: str
    tasks: list[str]


class SyncStatus(BaseModel):
    """Everything that `lockstep status` shows. What is null has its reason in `unavailable`, under the same name."""

    at: datetime
    rows: int | None = Field(description="Rows in Postgres, counted.")
    index: IndexStatus | None
    lag: LagStatus | None
    slot: SlotStatus | None
    connector: ConnectorState | None
    open_dead_letters: int | None
    last_reconcile: ReconcileRun | None = Field(description="Null when none was run from here.")
    unavailable: dict[str, str] = Field(description="The parts that cannot be asked, and why.")


async def sync_status(
    settings: Settings,
    rows: Postgres,
    store: QdrantStore,
    admin: KafkaAdmin,
    *,
    within_seconds: float = WITHIN_SECONDS,
) -> SyncStatus:
    """Ask every part, all at once, each for `within_seconds` at most. Raises nothing of a part's."""
    asked: Mapping[str, Awaitable[object]] = {
        "rows": rows.count(),
        "index": _index(settings, store),
        "lag": _lag(admin),
        "slot": _slot(rows),
        "connector": _connector(settings, within_seconds),
        "open_dead_letters": _open_dead_letters(settings),
    }
    answers = await asyncio.gather(*(_answer(part, within_seconds) for part in asked.values()))
    return SyncStatus.model_validate(
        {name: answer for name, (answer, _) in zip(asked, answers, strict=True)}
        | {
            "at": datetime.now(UTC),
            "last_reconcile": Keeping(settings.home).last_run(),
            "unavailable": {name: reason for name, (_, reason) in zip(asked, answers, strict=True) if reason},
        }
    )


async def _answer(part: Awaitable[Result], within_seconds: float) -> tuple[Result | None, str | None]:
    """What the part says, or why it does not."""
    try:
        async with asyncio.timeout(within_seconds):
            return await part, None
    except TimeoutError:
        return None, f"no answer within {within_seconds:g} s"
    except LockstepError as error:
        return None, str(error)


async def _index(settings: Settings, store: QdrantStore) -> IndexStatus:
    live = await store.live_collection()
    return IndexStatus(
        alias=settings.qdrant.alias,
        collection=live.name,
        points=await store.count(live.name),
        recipe=live.recipe.recipe_id,
        model=live.recipe.model,
        dimensions=live.recipe.dimensions,
    )


async def _lag(admin: KafkaAdmin) -> LagStatus:
    # First: a commit between the two would lie past the watermark.
    committed = await admin.committed(APP_ID, PRODUCT_CHANGES)
    partitions = [
        PartitionLag(
            partition=number,
            committed=(reached := committed.get(number, marks.low)),
            high_watermark=marks.high,
            lag_records=max(0, marks.high - reached),
        )
        for number, marks in (await admin.watermarks(PRODUCT_CHANGES)).items()
    ]
    return LagStatus(lag_records=sum(of.lag_records for of in partitions), partitions=partitions)


async def _slot(rows: Postgres) -> SlotStatus:
    slot = await rows.slot_state(SLOT_NAME)
    if slot is None:
        raise SourceError(f"replication slot {SLOT_NAME} does not exist: nothing is captured", kind=ErrorKind.OUTAGE)
    return SlotStatus(
        name=SLOT_NAME,
        active=slot.active,
        confirmed=slot.confirmed,
        lag_bytes=slot.lag_bytes,
        wal_status=slot.wal_status,
    )


async def _connector(settings: Settings, within_seconds: float) -> ConnectorState:
    async with ConnectClient(
        settings.connect.url, timeout_seconds=within_seconds, patience_seconds=within_seconds
    ) as connect:
        status = await connect.status(CONNECTOR_NAME)
    if status is None:
        return ConnectorState(name=CONNECTOR_NAME, state="UNKNOWN", tasks=[])
    return ConnectorState(name=status.name, state=status.state, tasks=[task.state for task in status.tasks])


async def _open_dead_letters(settings: Settings) -> int:
    letters = (await find_letters(settings.kafka.brokers, Selection())).letters()
    return sum(1 for found in letters if found.resolution is None)
