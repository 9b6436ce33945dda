"""Opens what a backfill works with, as the settings say."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from connectors.embedder import FastEmbedders
from connectors.kafka import KafkaAdmin, Watermarks
from connectors.postgres import Postgres
from connectors.qdrant import QdrantStore
from connectors.topic_reader import TopicReader
from ops.backfill.change_log import KafkaChangeLog
from ops.backfill.engine import Backfill
from ops.backfill.latest import LatestRows
from ops.backfill.progress import Progress
from ops.settings import Settings
from ops.stores import open_embedders, open_rows, open_store
from schemas.collection import LiveCollection
from schemas.errors import BrokerError, ErrorKind, ReplayError
from streams.topics import PRODUCT_CHANGES

READY_WITHIN_SECONDS = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceRange:
    """What the topic holds, by partition, and whether it has dropped records by age or size."""

    marks: Mapping[int, Watermarks]
    cleanup_policy: str

    @property
    def starts(self) -> dict[int, int]:
        """The low watermarks."""
        return {number: marks.low for number, marks in self.marks.items()}

    @property
    def offsets(self) -> int:
        """From the low watermarks to the high ones; compaction leaves fewer records."""
        return sum(marks.high - marks.low for marks in self.marks.values())


def check_history(source: SourceRange) -> None:
    """Refuse a topic that has dropped records: rows that did not change since would be missing.

    Compaction is no loss, since it keeps the last record of every key.

    Raises:
        ReplayError: The topic deletes by retention, and a low watermark is above 0.
    """
    gone = {number: marks.low for number, marks in source.marks.items() if marks.low > 0}
    if gone and "delete" in source.cleanup_policy:
        number, low = next(iter(gone.items()))
        raise ReplayError(
            f"history is gone: {PRODUCT_CHANGES}[{number}] begins at offset {low}, its older records were deleted by "
            "retention",
            hint="lockstep topics apply, then have Debezium read every row again: docs/operations.md, History is gone",
        )


@dataclass(slots=True, kw_only=True)
class BackfillParts:
    """Everything open; `backfill` joins it."""

    settings: Settings
    admin: KafkaAdmin
    reader: TopicReader
    store: QdrantStore
    rows: Postgres
    embedders: FastEmbedders
    source: SourceRange

    async def backfill(
        self, target: LiveCollection, progress: Progress, *, donor: str | None = None, dry_run: bool = False
    ) -> Backfill:
        """An engine for one collection; loads the model of its recipe.

        Raises:
            EmbeddingError: The model cannot be loaded.
        """
        latest = LatestRows(
            topic=PRODUCT_CHANGES,
            recipe=target.recipe,
            rows=self.rows,
            epoch=self.settings.worker.epoch,
            set_aside=self.settings.set_aside_places,
        )
        return Backfill(
            log=KafkaChangeLog(self.admin, self.reader, PRODUCT_CHANGES),
            latest=latest,
            store=self.store,
            target=target,
            embedder=await self.embedders.for_recipe(target.recipe),
            donor=donor,
            dry_run=dry_run,
            progress=progress,
        )


@asynccontextmanager
async def open_backfill_parts(settings: Settings) -> AsyncIterator[BackfillParts]:
    """Broker, Qdrant, Postgres and the models; closed at the end.

    Raises:
        LockstepError: One of them cannot be reached, or the topic does not exist.
    """
    embedders = open_embedders(settings)
    try:
        async with (
            KafkaAdmin(settings.kafka.brokers) as admin,
            TopicReader(settings.kafka.brokers, PRODUCT_CHANGES) as reader,
            open_store(settings) as store,
            open_rows(settings) as rows,
        ):
            await admin.wait_until_ready(READY_WITHIN_SECONDS)
            yield BackfillParts(
                settings=settings,
                admin=admin,
                reader=reader,
                store=store,
                rows=rows,
                embedders=embedders,
                source=await _look(admin),
            )
    finally:
        embedders.close()


async def _look(admin: KafkaAdmin) -> SourceRange:
    state = (await admin.describe([PRODUCT_CHANGES])).get(PRODUCT_CHANGES)
    if state is None:
        raise BrokerError(
            f"topic {PRODUCT_CHANGES} does not exist", kind=ErrorKind.OUTAGE, hint="lockstep topics apply"
        )
    return SourceRange(
        marks=await admin.watermarks(PRODUCT_CHANGES), cleanup_policy=state.config.get("cleanup.policy") or ""
    )
