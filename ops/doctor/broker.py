"""Checks of the broker: topics as declared, records that can be read, a group that gets on."""

from collections.abc import Sequence
from itertools import groupby

from connectors.topic_plan import CreateTopic, PartitionsDiffer, SetTopicConfig, plan_topics
from ops.doctor.broker_setup import BrokerSetup, SourceSetup
from ops.doctor.finding import Check, Findings, problem, warning
from schemas.debezium import decode_change
from schemas.errors import DecodeError
from schemas.record import Record
from streams.topics import APP_ID, CHANGELOG, DECLARATIONS, PRODUCT_CHANGES

APPLY = "lockstep topics apply"
HEARTBEAT_SECONDS = 60.0
"""Debezium's heartbeat comes every 2 seconds; after a rebalance of Connect it may be away for longer."""
SKEW_SECONDS = 2.0

_ANEW = {
    PRODUCT_CHANGES: "make the topic anew: docs/table.md, 'The number of partitions was changed'",
    CHANGELOG: "stop every worker, then: lockstep table rebuild",
}
"""What to do about another number of partitions, where deleting the topic is not enough."""
_LIMITS = frozenset({"max.message.bytes", "retention.ms", "min.compaction.lag.ms"})
"""Settings of which more is harmless."""


def check_topics(broker: BrokerSetup) -> Findings:
    """A topic that a broker or Connect made by itself has one partition, and retention."""
    for change in plan_topics(DECLARATIONS, broker.topics):
        match change:
            case CreateTopic():
                yield problem(f"topic {change.name} does not exist", APPLY)
            case SetTopicConfig():
                says = f"{change.setting} of topic {change.name} is {change.present}, declared is {change.value}"
                yield (warning if _is_more(change) else problem)(says, APPLY)
            case PartitionsDiffer():
                yield problem(
                    f"topic {change.name} has another number of partitions, {change.present} for {change.declared}: a "
                    "key's records lie elsewhere",
                    _ANEW.get(change.name, f"kafka-topics.sh --delete --topic {change.name}\n{APPLY}"),
                )


def _is_more(change: SetTopicConfig) -> bool:
    """Whether the topic allows or keeps more than is declared; a retention of -1 keeps all."""
    if change.setting not in _LIMITS or change.present is None:
        return False
    present = int(change.present)
    return present > int(change.value) or (present < 0 and change.setting == "retention.ms")


def check_changelog(broker: BrokerSetup) -> Findings:
    """The table of a partition is the changelog's partition of the same number."""
    source, changelog = broker.topics.get(PRODUCT_CHANGES), broker.topics.get(CHANGELOG)
    if source and changelog and source.partitions != changelog.partitions:
        yield problem(
            f"partitions of topic {CHANGELOG}: {changelog.partitions}, of {PRODUCT_CHANGES}: {source.partitions}",
            _ANEW[CHANGELOG],
        )


def check_replication(broker: BrokerSetup) -> Findings:
    """On several brokers a topic with one copy is lost with one of them."""
    if broker.cluster.nodes < 2:
        return
    for name, topic in sorted(broker.topics.items()):
        if topic.replication < 2:
            yield warning(
                f"topic {name} has one copy, on a cluster of {broker.cluster.nodes} brokers",
                f"kafka-reassign-partitions.sh, to give {name} 3 replicas; LOCKSTEP_KAFKA_REPLICATION=3 for new topics",
            )
        elif topic.config.get("min.insync.replicas") == "1":  # Redpanda has no such setting, and needs none
            yield warning(
                f"min.insync.replicas of topic {name} is 1: a write may be confirmed by one broker, and lost with it",
                f"kafka-configs.sh --alter --entity-type topics --entity-name {name} --add-config "
                "min.insync.replicas=2",
            )
        if topic.config.get("unclean.leader.election.enable") == "true":
            yield warning(
                f"topic {name} allows unclean leader elections: a copy that lacks records may take over",
                f"kafka-configs.sh --alter --entity-type topics --entity-name {name} --add-config "
                "unclean.leader.election.enable=false",
            )


def check_auto_creation(broker: BrokerSetup) -> Findings:
    """A topic that is made by being asked for has the broker's defaults."""
    if broker.cluster.auto_create_topics:
        yield warning(
            "auto.create.topics.enable is on: a topic that is missing is made with retention, and nobody says so",
            "set auto.create.topics.enable=false in the broker's configuration",
        )


def check_heartbeat(broker: BrokerSetup) -> Findings:
    """A connector says RUNNING while Postgres is away, and after a failover that it did not follow."""
    age = broker.heartbeat_age_seconds
    if age is None:
        yield problem("Debezium has sent no heartbeat: nothing is captured", "lockstep connector status")
    elif age > HEARTBEAT_SECONDS:
        yield problem(
            f"Debezium's last heartbeat is {age / 60:,.0f} minutes old: nothing is captured, or Connect's clock is "
            "wrong",
            "lockstep connector status",
        )
    elif age < -SKEW_SECONDS:
        yield warning(
            f"Connect's clock is {-age:.1f} s ahead of this machine's: ages are wrong by as much",
            "set both clocks by NTP: chronyc tracking",
        )


def check_history(source: SourceSetup) -> Findings:
    """A rebuild reads the topic from its beginning."""
    lost = {number: of.low for number, of in source.marks.items() if of.low > 0}
    if lost:
        number, low = next(iter(lost.items()))
        yield warning(
            f"{PRODUCT_CHANGES}[{number}] begins at offset {low}: a rebuild from the topic may lack rows",
            f"{APPLY}\nlockstep rebuild --from-snapshot",
        )


def check_unread(source: SourceSetup) -> Findings:
    """Records that were removed before the worker came to them."""
    for number, marks in source.marks.items():
        if (committed := source.committed.get(number)) is not None and committed < marks.low:
            yield problem(
                f"{marks.low - committed} records of {PRODUCT_CHANGES}[{number}] are gone that were never applied",
                "lockstep reconcile --fix",
            )


def check_made_anew(source: SourceSetup) -> Findings:
    """Offsets that start again count as outdated."""
    for number, marks in source.marks.items():
        if source.committed.get(number, 0) > marks.high:
            yield problem(
                f"{PRODUCT_CHANGES}[{number}] ends at {marks.high}, and {source.committed[number]} is committed: the "
                "topic was made anew",
                "raise LOCKSTEP_WORKER_EPOCH by 1, the same for every worker",
            )


def check_members(source: SourceSetup) -> Findings:
    """Without a worker nothing is indexed."""
    if not source.members:
        yield problem(f"no worker is in group {APP_ID}: nothing is indexed", "lockstep worker")


def check_progress(source: SourceSetup) -> Findings:
    """A worker that holds has a reason, which it tells."""
    if source.stuck and source.members:
        partitions = ", ".join(map(str, sorted(source.stuck)))
        yield problem(
            f"partitions {partitions} of {PRODUCT_CHANGES} stand still with {sum(source.stuck.values())} records to go",
            "curl http://127.0.0.1:6066/health/ready, of each worker: it says what it waits for, or is gone",
        )


def check_records(source: SourceSetup) -> Findings:
    """Records that cannot be decoded are set aside, each one; when none can, a setting of the connector is wrong."""
    refused: list[DecodeError] = []
    for record in source.newest:
        try:
            decode_change(record, epoch=0)
        except DecodeError as error:
            refused.append(error)
    if not refused:
        return
    some = f"{len(refused)} of the newest {len(source.newest)} records of {PRODUCT_CHANGES}"
    if len(refused) == len(source.newest):
        yield problem(f"{some} cannot be read: {refused[-1]}", refused[-1].hint or "lockstep connector apply")
    else:
        yield warning(f"{some} cannot be read: {refused[-1]}", "lockstep dead-letters list")


def check_tombstones(source: SourceSetup) -> Findings:
    """Compaction drops a deleted key only after its tombstone."""
    deletes = followed = 0
    for _, records in groupby(source.newest, key=lambda record: record.place.partition):
        of_partition = list(records)
        # The last one's tombstone may be on its way.
        for position, record in enumerate(of_partition[:-1]):
            if _is_delete(record):
                deletes += 1
                followed += _has_tombstone(record, of_partition[position + 1 :])
    if deletes and not followed:
        yield problem(
            f"none of the newest {deletes} deletes of {PRODUCT_CHANGES} has a tombstone: the topic keeps deleted rows",
            "lockstep connector apply",
        )


def _is_delete(record: Record) -> bool:
    return record.value is not None and b'"__deleted":"true"' in record.value


def _has_tombstone(record: Record, later: Sequence[Record]) -> bool:
    return any(other.key == record.key and other.value is None for other in later)


CHECKS = (
    Check("the topics are as declared", check_topics, (BrokerSetup,)),
    Check("the table has as many partitions as the source topic", check_changelog, (BrokerSetup,)),
    Check("no broker holds the only copy of a topic", check_replication, (BrokerSetup,)),
    Check("no topic is made by being asked for", check_auto_creation, (BrokerSetup,)),
    Check("Debezium's heartbeat comes, by a clock like ours", check_heartbeat, (BrokerSetup,)),
    Check("the source topic has its beginning", check_history, (SourceSetup,)),
    Check("no record was removed before it was applied", check_unread, (SourceSetup,)),
    Check("the source topic is the one that was read", check_made_anew, (SourceSetup,)),
    Check("a worker is in the group", check_members, (SourceSetup,)),
    Check("every partition with lag gets on", check_progress, (SourceSetup,)),
    Check("the newest records can be read, key and value", check_records, (SourceSetup,)),
    Check("deletes are followed by their tombstone", check_tombstones, (SourceSetup,)),
)
