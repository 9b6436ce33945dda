"""What would bring a broker's topics to their declarations: pure, so that a dry run prints what would be done."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol


class Declaration(Protocol):
    """A topic as it must be; `config` holds Kafka's own topic settings."""

    @property
    def name(self) -> str:
        """The topic's name."""
        ...

    @property
    def partitions(self) -> int:
        """How many it is created with."""
        ...

    @property
    def config(self) -> Mapping[str, str]:
        """Settings by Kafka's names for them."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicState:
    """A topic as the broker has it. `topic_id` differs after a topic is made anew; None where brokers have no ids."""

    name: str
    partitions: int
    replication: int
    topic_id: str | None = None
    config: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateTopic:
    """The topic is missing."""

    name: str
    partitions: int
    config: Mapping[str, str]

    def __str__(self) -> str:
        return f"create {self.name} with {self.partitions} partition{'s' if self.partitions != 1 else ''}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SetTopicConfig:
    """A setting differs from its declaration."""

    name: str
    setting: str
    value: str
    present: str | None

    def __str__(self) -> str:
        return f"set {self.setting} of {self.name} from {self.present} to {self.value}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionsDiffer:
    """A drift that only a person can mend: never applied.

    Partitions cannot be taken away, and more of them would send keys elsewhere while the offsets of the old ones are
    the versions of what is indexed.
    """

    name: str
    declared: int
    present: int

    def __str__(self) -> str:
        return f"leave {self.name} as it is: it has {self.present} partitions, declared are {self.declared}"


TopicChange = CreateTopic | SetTopicConfig | PartitionsDiffer


def plan_topics(declarations: Iterable[Declaration], existing: Mapping[str, TopicState]) -> list[TopicChange]:
    """The changes in the order of the declarations; empty when all is as declared.

    Topics and settings that are not declared are left alone, and nothing is ever deleted.
    """
    changes: list[TopicChange] = []
    for wanted in declarations:
        present = existing.get(wanted.name)
        if present is None:
            changes.append(CreateTopic(name=wanted.name, partitions=wanted.partitions, config=wanted.config))
            continue
        if present.partitions != wanted.partitions:
            changes.append(PartitionsDiffer(name=wanted.name, declared=wanted.partitions, present=present.partitions))
        changes += [
            SetTopicConfig(name=wanted.name, setting=setting, value=value, present=present.config.get(setting))
            for setting, value in wanted.config.items()
            if present.config.get(setting) != value
        ]
    return changes
