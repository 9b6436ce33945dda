"""What a worker did since it started."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, get_args

from schemas.action import Action, Keep, Skip
from schemas.change import Operation
from schemas.errors import DecodeError, EmbeddingError, SourceError, VectorStoreError
from schemas.fanout_event import EVENT_MODELS
from schemas.record import Place
from streams.batch import COLLAPSE, Step
from streams.distribution import Distribution
from streams.metrics import AGE_SECONDS, BATCH_RECORDS, STAGE_SECONDS
from streams.stopwatch import Stage

OUTCOMES = (*(action.name for action in get_args(Action)), COLLAPSE)
"""What may become of a change; collapsed: a later one of the same batch stands for it."""

REASONS = tuple(error.__name__ for error in (DecodeError, EmbeddingError, SourceError, VectorStoreError))
"""Why records are set aside. They count from zero, so that the first of a kind shows as a rise."""


@dataclass(slots=True)
class Counters:
    """Numbers that only grow, and how measured values were spread.

    `changes` is by what became of a change and what happened to the row, `dead_letters` by error class, `events` by
    topic, `stages` by stage of a batch.
    """

    records: int = 0
    batches: int = 0
    embeddings_made: int = 0
    """Texts given to the model."""
    embeddings_avoided: int = 0
    """Living rows brought up to date without the model: kept, payload only, or the vector was there."""
    changes: Counter[tuple[str, Operation]] = field(
        default_factory=lambda: Counter({(outcome, operation): 0 for outcome in OUTCOMES for operation in Operation})
    )
    dead_letters: Counter[str] = field(default_factory=lambda: Counter(dict.fromkeys(REASONS, 0)))
    events: Counter[str] = field(default_factory=lambda: Counter({model.topic: 0 for model in EVENT_MODELS}))
    stages: dict[Stage, Distribution] = field(
        default_factory=lambda: {stage: Distribution(STAGE_SECONDS) for stage in Stage}
    )
    batch_records: Distribution = field(default_factory=lambda: Distribution(BATCH_RECORDS))
    commit_to_searchable: Distribution = field(default_factory=lambda: Distribution(AGE_SECONDS))

    @property
    def actions(self) -> Counter[str]:
        """Changes by what became of them."""
        found: Counter[str] = Counter()
        for (outcome, _), count in self.changes.items():
            found[outcome] += count
        return found

    def count_batch(self, records: int, seconds: Mapping[Stage, float]) -> None:
        """Count a batch that was applied, and the time that it spent in each stage that it passed."""
        self.records += records
        self.batches += 1
        self.batch_records.observe(records)
        self.count_stages(seconds)

    def count_stages(self, seconds: Mapping[Stage, float]) -> None:
        """Count the time that a batch spent in stages."""
        for stage, spent in seconds.items():
            self.stages[stage].observe(spent)

    def count_step(self, step: Step, operations: Mapping[Place, Operation], *, embedded: bool) -> None:
        """Count what a batch did to one key; `operations` are those of the changes that it skipped, by their place."""
        for skipped in step.skipped:
            self.changes[Skip.name, operations[skipped.place]] += 1
        for applied in step.applied[:-1]:
            self.changes[COLLAPSE, applied.change.operation] += 1
        if step.action is None or step.change is None:
            return
        self.changes[step.action.name, step.change.operation] += 1
        if not embedded and not step.change.removes:
            self.embeddings_avoided += 1

    def count_searchable(self, steps: Iterable[Step], written_at: datetime) -> None:
        """Measure how old the changes are whose effect Qdrant has acknowledged, by the clocks of Postgres and our own.

        A snapshot read has no age: it tells of a row that may have been there for years.
        """
        written_at_ms = written_at.timestamp() * 1000
        observe = self.commit_to_searchable.observe
        for step in steps:
            change = step.change
            if (
                change is not None
                and change.source_time_ms is not None
                and change.operation is not Operation.SNAPSHOT_READ
                and not isinstance(step.action, Skip | Keep)
            ):
                observe(max(written_at_ms - change.source_time_ms, 0.0) / 1000)

    def as_dict(self) -> dict[str, Any]:
        """For the stats page."""
        return {
            "records": self.records,
            "batches": self.batches,
            "embeddings_made": self.embeddings_made,
            "embeddings_avoided": self.embeddings_avoided,
            "actions": dict(self.actions),
            "dead_letters": {reason: count for reason, count in self.dead_letters.items() if count},
            "events": dict(self.events),
        }
