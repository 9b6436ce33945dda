"""What is known of every part at one moment, and the level of each: one model for command line, API and dashboard."""

from datetime import datetime

from pydantic import BaseModel, Field

from ops.reconcile.report import ReconcileRun
from ops.status.limits import Level
from schemas.collection import Phase

PARTS = ("rows", "index", "lag", "group", "slot", "connector", "open_dead_letters")
"""The fields of `SyncStatus` that are null where the part cannot be asked; each worker tells for itself."""


class IndexStatus(BaseModel):
    """The collection behind the alias."""

    alias: str
    collection: str
    points: int
    recipe: str = Field(description="The recipe's id.")
    model: str
    dimensions: int
    phase: Phase | None = Field(
        default=None, description="How far a rebuild has come with it; null when workers filled it from the start."
    )
    others: list[str] = Field(default=[], description="The alias's other collections: a rebuild's, or kept ones.")


class PartitionLag(BaseModel):
    """How far the workers have come in a partition of the source topic."""

    partition: int
    low_watermark: int = Field(description="The first retained offset.")
    committed: int = Field(description="The next offset that is read.")
    high_watermark: int = Field(description="One past the newest offset.")
    lag_records: int


class LagStatus(BaseModel):
    """How far the workers have come in the source topic."""

    lag_records: int
    still_seconds: float | None = Field(
        default=None,
        description="How long changes wait and none was applied, as far as looks tell; null at the first look.",
    )
    newest_indexed_at: datetime | None = Field(
        default=None, description="When the newest change that is applied was published; null before the first."
    )
    oldest_waiting_at: datetime | None = Field(
        default=None, description="When the oldest change that is not applied was published; null when nothing waits."
    )
    partitions: list[PartitionLag]


class MemberStatus(BaseModel):
    """A worker as the broker sees it; one that was killed stays until its session ends."""

    name: str
    partitions: list[int]


class GroupStatus(BaseModel):
    """The workers' group."""

    state: str = Field(description="The broker's word: STABLE, or a rebalance's stage.")
    members: list[MemberStatus]


class WorkerStatus(BaseModel):
    """A worker as its own page tells it. Its numbers count from its start."""

    url: str
    error: str | None = Field(default=None, description="Why its page cannot be read; all that follows is null then.")
    name: str | None = None
    partitions: list[int] | None = None
    uptime_seconds: float | None = None
    unready_because: str | None = Field(default=None, description="Why it does not get on.")
    hint: str | None = None
    held_part: str | None = Field(default=None, description="The part that its partitions are held for.")
    held_seconds: float | None = None
    table_entries: int | None = Field(default=None, description="In its partitions, deleted keys too.")
    records: int | None = None
    embeddings_made: int | None = None
    embeddings_avoided: int | None = None
    actions: dict[str, int] | None = Field(default=None, description="Changes by what became of them.")


class WorkStatus(BaseModel):
    """What the workers whose pages answer did since they started, added up."""

    workers: int
    table_entries: int
    records: int
    embeddings_made: int
    embeddings_avoided: int
    actions: dict[str, int]


class SlotStatus(BaseModel):
    """The replication slot that Debezium reads."""

    name: str
    active: bool
    confirmed: str | None = Field(description="The WAL position that Debezium has confirmed.")
    lag_bytes: int | None = Field(description="The WAL beyond that.")
    held_back_bytes: int | None = Field(default=None, description="The WAL that Postgres keeps on its disk for it.")
    safe_wal_bytes: int | None = Field(
        default=None, description="WAL that may be written until the slot is lost; null where nothing bounds it."
    )
    wal_status: str | None = Field(description="Postgres's word: `lost` means that changes are gone.")


class ConnectorState(BaseModel):
    """The connector, in Kafka Connect's words."""

    name: str
    state: str
    tasks: list[str]
    failure: str | None = Field(default=None, description="Why the connector or a task failed, one line of the trace.")
    hint: str | None = None

    @property
    def running(self) -> bool:
        """The connector runs, and so do all of its tasks, of which there is one at least."""
        return {self.state, *self.tasks} == {"RUNNING"} and bool(self.tasks)


class Line(BaseModel):
    """One part's standing, in words."""

    part: str
    level: Level
    says: str
    hint: str | None = Field(default=None, description="The command or setting that helps.")


class SyncStatus(BaseModel):
    """Everything that `lockstep status` shows. What is null has its reason in `unavailable`, under the same name."""

    at: datetime
    level: Level = Field(default=Level.GREEN, description="The worst of `lines`.")
    lines: list[Line] = Field(default=[], description="Each part judged by the thresholds in the settings.")
    rows: int | None = Field(description="Rows in Postgres.")
    rows_estimated: bool = Field(default=False, description="True: by Postgres's statistics, the table being large.")
    index: IndexStatus | None
    lag: LagStatus | None
    group: GroupStatus | None = None
    workers: list[WorkerStatus] = Field(default=[], description="Those whose pages are named in the settings.")
    work: WorkStatus | None = Field(default=None, description="Null while no worker's page answers.")
    slot: SlotStatus | None
    connector: ConnectorState | None
    open_dead_letters: int | None
    dead_letters_by_reason: dict[str, int] | None = Field(
        default=None, description="The open ones, by the class of the error."
    )
    last_reconcile: ReconcileRun | None = Field(description="Null when none was run from here.")
    unavailable: dict[str, str] = Field(description="The parts that cannot be asked, and why.")
    hints: dict[str, str] = Field(default={}, description="What helps those parts, where it is known.")

    @property
    def nothing_answers(self) -> bool:
        """Whether no part at all could be asked."""
        return all(name in self.unavailable for name in PARTS) and all(worker.error for worker in self.workers)
