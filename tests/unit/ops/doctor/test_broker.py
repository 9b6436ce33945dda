"""Each check of the broker, made to fail."""

from dataclasses import replace
from typing import Any

import pytest

from connectors.kafka import Watermarks
from connectors.kafka_setup import ClusterSetup
from ops.doctor import broker as checks
from ops.doctor.broker_setup import BrokerSetup, SourceSetup, lags
from streams.topics import CHANGELOG, PRODUCT_CHANGES
from tests.fakes.pipeline import Topic
from tests.unit.ops.doctor.breaks import PROBLEM, WARNING, Break, never_broken, parameters
from tests.unit.ops.doctor.healthy import BROKER, SOURCE

THREE_BROKERS = ClusterSetup(nodes=3, auto_create_topics=False)


def topic(name: str, *, config: dict[str, str] | None = None, **changes: Any) -> tuple[BrokerSetup]:
    state = BROKER.topics[name]
    state = replace(state, config={**state.config, **(config or {})}, **changes)
    return (replace(BROKER, topics={**BROKER.topics, name: state}),)


def without(name: str) -> tuple[BrokerSetup]:
    return (replace(BROKER, topics={of: state for of, state in BROKER.topics.items() if of != name}),)


def broker(**changes: Any) -> tuple[BrokerSetup]:
    return (replace(BROKER, **changes),)


def source(**changes: Any) -> tuple[SourceSetup]:
    return (replace(SOURCE, **changes),)


def replicated(config: dict[str, str], replication: int = 3) -> tuple[BrokerSetup]:
    """One topic on three brokers."""
    state = replace(BROKER.topics[PRODUCT_CHANGES], replication=replication, config=config)
    return broker(cluster=THREE_BROKERS, topics={PRODUCT_CHANGES: state})


def records(*, tombstones: bool = True, poison: bytes | None = None, rows: int = 2) -> tuple[SourceSetup]:
    made = Topic()
    for number in range(rows):
        made.create(str(number))
    if rows:
        made.delete("1")
        if tombstones:
            made.tombstone("1")
        made.create("2")
    if poison is not None:
        made.append("9", poison)
    return source(newest=tuple(made.records))


def keyed_by_id() -> tuple[SourceSetup]:
    made = Topic()
    values = [made.create(str(number)).value for number in range(3)]
    return source(newest=tuple(made.append(None, value, raw=b'{"id":1}') for value in values))


BREAKS = [
    Break(checks.check_topics, without(PRODUCT_CHANGES), PROBLEM, f"topic {PRODUCT_CHANGES} does not", "topics apply"),
    Break(
        checks.check_topics,
        topic(PRODUCT_CHANGES, config={"cleanup.policy": "delete"}),
        PROBLEM,
        "cleanup.policy of topic pgserver.public.products is delete",
        "topics apply",
    ),
    Break(
        checks.check_topics,
        topic(PRODUCT_CHANGES, config={"max.message.bytes": "1048588"}),
        PROBLEM,
        "max.message.bytes",
        "topics apply",
    ),
    Break(
        checks.check_topics,
        topic(PRODUCT_CHANGES, config={"min.compaction.lag.ms": "0"}),
        PROBLEM,
        "min.compaction.lag.ms",
        "topics apply",
    ),
    Break(
        checks.check_topics,
        topic("products.dead-letters.v1", config={"retention.ms": "3600000"}),
        PROBLEM,
        "retention.ms of topic products.dead-letters.v1 is 3600000",
        "topics apply",
    ),
    Break(
        checks.check_topics,
        topic("products.dead-letters.v1", config={"retention.ms": "-1"}),
        WARNING,
        "retention.ms of topic products.dead-letters.v1 is -1",
        "topics apply",
    ),
    Break(
        checks.check_topics,
        topic(PRODUCT_CHANGES, config={"max.message.bytes": "20000000"}),
        WARNING,
        "is 20000000",
        "topics apply",
    ),
    Break(checks.check_topics, topic(PRODUCT_CHANGES, partitions=1), PROBLEM, "1 for 6", "docs/table.md"),
    Break(checks.check_changelog, topic(CHANGELOG, partitions=1), PROBLEM, "changelog: 1, of", "table rebuild"),
    Break(checks.check_replication, replicated({}, replication=1), WARNING, "has one copy", "reassign-partitions"),
    Break(
        checks.check_replication,
        replicated({"min.insync.replicas": "1"}),
        WARNING,
        "min.insync.replicas",
        "min.insync.replicas=2",
    ),
    Break(
        checks.check_replication,
        replicated({"min.insync.replicas": "2", "unclean.leader.election.enable": "true"}),
        WARNING,
        "unclean leader elections",
        "unclean.leader.election.enable=false",
    ),
    Break(
        checks.check_auto_creation,
        broker(cluster=ClusterSetup(nodes=1, auto_create_topics=True)),
        WARNING,
        "auto.create.topics.enable is on",
        "=false",
    ),
    Break(checks.check_heartbeat, broker(heartbeat_age_seconds=None), PROBLEM, "no heartbeat", "connector status"),
    Break(checks.check_heartbeat, broker(heartbeat_age_seconds=600.0), PROBLEM, "10 minutes old", "connector status"),
    Break(checks.check_heartbeat, broker(heartbeat_age_seconds=-30.0), WARNING, "30.0 s ahead", "NTP"),
    Break(
        checks.check_history,
        source(marks={0: Watermarks(low=2, high=3)}),
        WARNING,
        "begins at offset 2",
        "rebuild --from-snapshot",
    ),
    Break(
        checks.check_unread,
        source(marks={0: Watermarks(low=5, high=9)}),
        PROBLEM,
        "2 records of pgserver.public.products[0] are gone",
        "reconcile --fix",
    ),
    Break(checks.check_made_anew, source(committed={0: 9}), PROBLEM, "ends at 3, and 9 is", "LOCKSTEP_WORKER_EPOCH"),
    Break(checks.check_members, source(members=()), PROBLEM, "no worker is in group", "lockstep worker"),
    Break(checks.check_progress, source(stuck={0: 7, 3: 1}), PROBLEM, "partitions 0, 3", "/health/ready"),
    Break(checks.check_records, records(poison=b"{"), WARNING, "1 of the newest 6 records", "dead-letters list"),
    Break(checks.check_records, keyed_by_id(), PROBLEM, "3 of the newest 3 records", "message.key.columns"),
    Break(
        checks.check_tombstones, records(tombstones=False), PROBLEM, "none of the newest 1 deletes", "connector apply"
    ),
]


@pytest.mark.parametrize("case", parameters(BREAKS))
def test_it_is_found(case: Break) -> None:
    case.assert_found(checks.CHECKS)


def test_each_check_can_fail() -> None:
    assert never_broken(BREAKS, checks.CHECKS) == []


def test_a_delete_that_came_last_may_wait_for_its_tombstone() -> None:
    made = Topic()
    made.create("1")
    made.delete("1")
    assert list(checks.check_tombstones(*source(newest=tuple(made.records)))) == []


def test_deletes_with_tombstones_and_the_key_back_are_in_order() -> None:
    assert list(checks.check_tombstones(*records())) == []


def test_an_empty_topic_has_nothing_wrong() -> None:
    assert list(checks.check_records(*records(rows=0))) == []


def test_records_that_nobody_reads_do_not_stand_still_too() -> None:
    assert list(checks.check_progress(*source(stuck={0: 7}, members=()))) == []


def test_one_broker_needs_no_copies() -> None:
    assert list(checks.check_replication(BROKER)) == []


def test_lag_counts_from_the_low_watermark_where_nothing_was_committed() -> None:
    marks = {0: Watermarks(low=4, high=9), 1: Watermarks(low=0, high=5)}
    assert lags(marks, {1: 5}) == {0: 5, 1: 0}


def test_two_copies_on_two_brokers_are_enough() -> None:
    [two] = replicated({"min.insync.replicas": "2"}, replication=2)
    cluster = ClusterSetup(nodes=2, auto_create_topics=False)
    assert list(checks.check_replication(replace(two, cluster=cluster))) == []
    [redpanda] = replicated({}, replication=3)
    assert list(checks.check_replication(replace(redpanda, cluster=cluster))) == []
    [one] = replicated({}, replication=1)
    assert len(list(checks.check_replication(replace(one, cluster=cluster)))) == 1


def test_a_group_that_stands_at_the_low_watermark_has_missed_nothing() -> None:
    assert list(checks.check_unread(*source(marks={0: Watermarks(low=3, high=3)}))) == []


def test_the_tombstone_of_another_key_does_not_count() -> None:
    made = Topic()
    made.delete("1")
    made.tombstone("2")
    assert len(list(checks.check_tombstones(*source(newest=tuple(made.records))))) == 1
