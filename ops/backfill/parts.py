"""Opens what a backfill works with, as the settings say."""

from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager, closing
from dataclasses import dataclass

from connectors.embedder import FastEmbedders
from connectors.kafka import KafkaAdmin
from connectors.postgres import Postgres
from connectors.qdrant import QdrantStore
from connectors.topic_reader import TopicReader
from ops.backfill.change_log import KafkaChangeLog
from ops.backfill.engine import Backfill, Donor
from ops.backfill.history import History, SourceRange, TopicHistory
from ops.backfill.latest import LatestRows
from ops.backfill.progress import Progress
from ops.backfill.requests import Requests
from ops.backfill.spill import LatestFile
from ops.settings import Settings
from ops.source import check_epoch, read_marks
from ops.stores import open_embedders, open_rows, open_store
from schemas.collection import LiveCollection
from schemas.errors import BrokerError, ErrorKind
from streams.topics import PRODUCT_CHANGES

READY_WITHIN_SECONDS = 10.0


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

    origin: QdrantStore
    """Where vectors are taken from: the same as `store`, unless another Qdrant is filled."""
    files: ExitStack

    @property
    def history(self) -> History:
        """Whether the topic has every row."""
        return TopicHistory(self.rows, self.source)

    async def backfill(
        self, target: LiveCollection, progress: Progress, *, donor: str | None = None, dry_run: bool = False
    ) -> Backfill:
        """An engine for one collection; loads the model of its recipe. `donor` is a collection of `origin`.

        Raises:
            EmbeddingError: The model cannot be loaded.
        """
        latest = LatestRows(
            topic=PRODUCT_CHANGES,
            recipe=target.recipe,
            rows=self.rows,
            epoch=self.settings.worker.epoch,
            set_aside=self.settings.set_aside_places,
            file=self.files.enter_context(closing(LatestFile())),
        )
        return Backfill(
            log=KafkaChangeLog(self.admin, self.reader, PRODUCT_CHANGES),
            latest=latest,
            store=self.store,
            target=target,
            embedder=await self.embedders.for_recipe(target.recipe),
            donor=Donor(store=self.origin, collection=donor) if donor else None,
            dry_run=dry_run,
            progress=progress,
            requests=Requests(late_seconds=self.settings.qdrant.timeout_seconds),
        )


@asynccontextmanager
async def open_backfill_parts(settings: Settings, *, target_url: str | None = None) -> AsyncIterator[BackfillParts]:
    """Broker, Qdrant, Postgres and the models; closed at the end.

    `target_url` is another Qdrant to fill; that of the settings gives the vectors.

    Raises:
        LockstepError: One of them cannot be reached, the topic does not exist, or the epoch is not the workers'.
    """
    embedders = open_embedders(settings)
    filled = settings
    if target_url is not None:
        filled = settings.model_copy(update={"qdrant": settings.qdrant.model_copy(update={"url": target_url})})
    try:
        async with (
            KafkaAdmin(settings.kafka.brokers) as admin,
            TopicReader(settings.kafka.brokers, PRODUCT_CHANGES) as reader,
            open_store(filled) as store,
            open_store(settings) as origin,
            open_rows(settings) as rows,
        ):
            await admin.wait_until_ready(READY_WITHIN_SECONDS)
            check_epoch(await read_marks(admin, settings.kafka.brokers), settings.worker.epoch)
            with ExitStack() as files:
                yield BackfillParts(
                    settings=settings,
                    admin=admin,
                    reader=reader,
                    store=store,
                    origin=origin if target_url is not None else store,
                    rows=rows,
                    embedders=embedders,
                    source=await _look(admin),
                    files=files,
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
