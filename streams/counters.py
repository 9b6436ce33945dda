"""What a worker did since it started."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, get_args

from schemas.action import Action
from schemas.fanout_event import EVENT_MODELS
from streams.batch import COLLAPSE, Step

OUTCOMES = (*(action.name for action in get_args(Action)), COLLAPSE)
"""What may become of a change; collapsed: a later one of the same batch stands for it."""


@dataclass(slots=True)
class Counters:
    """Whole numbers that only grow.

    `actions` is by what became of a change, `dead_letters` by error class, `events` by topic.
    """

    records: int = 0
    batches: int = 0
    embeddings_made: int = 0
    """Texts given to the model."""
    embeddings_avoided: int = 0
    """Living rows brought up to date without the model: kept, payload only, or the vector was there."""
    actions: Counter[str] = field(default_factory=lambda: Counter(dict.fromkeys(OUTCOMES, 0)))
    dead_letters: Counter[str] = field(default_factory=Counter)
    events: Counter[str] = field(default_factory=lambda: Counter({model.topic: 0 for model in EVENT_MODELS}))

    def count_step(self, step: Step, *, embedded: bool) -> None:
        """Count what a batch did to one key."""
        self.actions["skip"] += len(step.skipped)
        self.actions[COLLAPSE] += max(len(step.applied) - 1, 0)
        if step.action is None or step.change is None:
            return
        self.actions[step.action.name] += 1
        if not embedded and not step.change.removes:
            self.embeddings_avoided += 1

    def as_dict(self) -> dict[str, Any]:
        """For the stats page."""
        return {
            "records": self.records,
            "batches": self.batches,
            "embeddings_made": self.embeddings_made,
            "embeddings_avoided": self.embeddings_avoided,
            "actions": dict(self.actions),
            "dead_letters": dict(self.dead_letters),
            "events": dict(self.events),
        }
