"""What brings topics to their declarations."""

from dataclasses import replace

from connectors.topic_plan import CreateTopic, PartitionsDiffer, SetTopicConfig, TopicState, plan_topics
from streams.topics import DECLARATIONS, TopicDeclaration

WANTED = TopicDeclaration(
    name="changes", key="k", partitions=6, writer="w", readers="r", config={"cleanup.policy": "compact"}
)
AS_DECLARED = TopicState(
    name="changes", partitions=6, replication=1, config={"cleanup.policy": "compact", "segment.ms": "1"}
)


def test_a_missing_topic_is_created_as_declared() -> None:
    assert plan_topics([WANTED], {}) == [
        CreateTopic(name="changes", partitions=6, config={"cleanup.policy": "compact"})
    ]


def test_a_topic_as_declared_needs_nothing_whatever_else_is_set_on_it() -> None:
    assert plan_topics([WANTED], {"changes": AS_DECLARED, "other": replace(AS_DECLARED, name="other")}) == []


def test_a_setting_that_differs_or_is_absent_is_set() -> None:
    for config, present in (({"cleanup.policy": "delete"}, "delete"), ({}, None)):
        changed = replace(AS_DECLARED, config=config)
        assert plan_topics([WANTED], {"changes": changed}) == [
            SetTopicConfig(name="changes", setting="cleanup.policy", value="compact", present=present)
        ]


def test_another_number_of_partitions_is_reported_and_never_changed() -> None:
    for number in (3, 12):
        assert plan_topics([WANTED], {"changes": replace(AS_DECLARED, partitions=number)}) == [
            PartitionsDiffer(name="changes", declared=6, present=number)
        ]


def test_created_topics_need_nothing_more() -> None:
    created = {
        declared.name: TopicState(
            name=declared.name, partitions=declared.partitions, replication=1, config=declared.config
        )
        for declared in DECLARATIONS
    }
    assert len(plan_topics(DECLARATIONS, {})) == len(DECLARATIONS)
    assert plan_topics(DECLARATIONS, created) == []
