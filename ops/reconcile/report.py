"""What a comparison found, what became of it, and how both are told."""

from collections.abc import Sequence
from datetime import datetime

from pydantic import BaseModel, Field

EXAMPLES = 20


class Difference(BaseModel):
    """One kind of difference: how many, and the first keys."""

    count: int = 0
    examples: list[str] = []

    def add(self, keys: Sequence[str]) -> None:
        """Count keys; the first twenty are kept."""
        self.count += len(keys)
        self.examples += keys[: EXAMPLES - len(self.examples)]


class ReconcileReport(BaseModel):
    """What the comparison found. `unreadable` rows are in Postgres and cannot be indexed; they are no difference."""

    collection: str
    sample: float | None = Field(
        default=None, description="The share of rows and of points that was compared; null when all were."
    )
    rows: int = Field(default=0, description="Rows compared.")
    points: int = Field(default=0, description="Points compared.")
    missing: Difference = Field(default_factory=Difference, description="Rows without a point.")
    orphaned: Difference = Field(default_factory=Difference, description="Points without a row.")
    stale: Difference = Field(default_factory=Difference, description="Points whose payload is not the row's.")
    drifted: Difference = Field(
        default_factory=Difference, description="Points whose vector is not that of their text, among `vectors`."
    )
    vectors: int = Field(default=0, description="Vectors compared with a fresh embedding: a sample.")
    unreadable: Difference = Field(default_factory=Difference, description="Rows that cannot be indexed.")
    second_looks: int = Field(default=0, description="How often it was waited for the pipeline.")
    seconds: float = 0.0

    @property
    def in_sync(self) -> bool:
        """Whether nothing differs."""
        return self.differences == 0

    @property
    def differences(self) -> int:
        """How many rows and points differ; one that is both stale and drifted counts twice."""
        return self.missing.count + self.orphaned.count + self.stale.count + self.drifted.count


class Unrepaired(BaseModel):
    """A row or point that differs still, and why."""

    key: str = Field(description="The article_id, or the point's id where no row is named.")
    reason: str
    dead_letter: str | None = Field(default=None, description="The place of the record that was set aside.")


class RepairReport(BaseModel):
    """What a repair did, or in a dry run would do. Counts are of keys."""

    dry_run: bool = False
    read_again: int = Field(default=0, description="Rows that Debezium was asked to read again.")
    disowned: int = Field(default=0, description="Points among them whose provenance was wrong, and was taken away.")
    tombstones: int = Field(default=0, description="Orphans removed through the topic.")
    removed: int = Field(default=0, description="Orphans removed from Qdrant itself: no record stands for them.")
    came_back: int = Field(default=0, description="Orphans whose row was there again.")
    unrepaired_count: int = 0
    unrepaired: list[Unrepaired] = Field(default=[], description="The first twenty of them.")
    seconds: float = 0.0

    def add_unrepaired(self, key: str, reason: str, dead_letter: str | None = None) -> None:
        """Count one; the first twenty are kept."""
        self.unrepaired_count += 1
        if len(self.unrepaired) < EXAMPLES:
            self.unrepaired.append(Unrepaired(key=key, reason=reason, dead_letter=dead_letter))


class ReconcileRun(BaseModel):
    """One run: what it found, and what it repaired. `error` says why it did not come to its end."""

    started_at: datetime
    finished_at: datetime
    report: ReconcileReport | None = None
    repair: RepairReport | None = None
    error: str | None = None

    @property
    def good(self) -> bool:
        """Whether the two agree by now, as far as was looked."""
        if self.report is None or self.error is not None:
            return False
        repaired = self.repair is not None and not self.repair.dry_run and self.repair.unrepaired_count == 0
        return self.report.in_sync or repaired
