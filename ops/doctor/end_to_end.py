"""Checks of two systems against each other."""

from connectors.debezium.config import CONNECTOR_NAME
from connectors.debezium.connect_setup import ConnectorSetup
from connectors.postgres_setup import TABLE, PostgresSetup, TableSetup
from connectors.qdrant_setup import CollectionSetup
from ops.doctor.broker_setup import BrokerSetup, SourceSetup
from ops.doctor.capture import DEFAULT_REQUEST_BYTES, REQUEST_SIZE
from ops.doctor.finding import Check, Findings, problem
from schemas.fanout_event import ProductChanged
from streams.topics import (
    CHANGELOG,
    DEAD_LETTERS,
    MAX_DEAD_LETTER_BYTES,
    MAX_RECORD_BYTES,
    PRODUCT_CHANGES,
    SIGNAL_TABLE,
)

DEFAULT_MESSAGE_BYTES = 1048588
"""What a topic takes where neither it nor the broker says anything."""
OUR_HEADERS_BYTES = MAX_DEAD_LETTER_BYTES - MAX_RECORD_BYTES
"""A dead letter has headers of ours beside its record."""

_URL = f"$LOCKSTEP_CONNECT_URL/connectors/{CONNECTOR_NAME}"
_FORGET_OFFSETS = (
    f'curl -X PUT "{_URL}/stop"',
    f'curl -X DELETE "{_URL}/offsets"',
    f'curl -X PUT "{_URL}/resume"',
    "lockstep reconcile --fix",
)


def offset_is_ahead(connector: ConnectorSetup, server: PostgresSetup) -> bool:
    """Whether the connector would go on from a place that Postgres's WAL has not reached."""
    return connector.offset_lsn is not None and connector.offset_lsn > server.wal_position


def check_offset(connector: ConnectorSetup, server: PostgresSetup) -> Findings:
    """After a failover that lost commits, or a restore, Debezium silently skips all changes up to its offset."""
    if offset_is_ahead(connector, server):
        yield problem(
            f"connector {CONNECTOR_NAME} would go on at {connector.offset_lsn}, and Postgres's WAL ends at "
            f"{server.wal_position}: it skips every change until then",
            "\n".join(_FORGET_OFFSETS),
        )


def check_source_size(connector: ConnectorSetup, broker: BrokerSetup) -> Findings:
    """A record that the producer sends and the topic refuses fails the task, again after each restart."""
    if PRODUCT_CHANGES not in broker.topics:
        return
    sent = int(connector.config.get(REQUEST_SIZE) or DEFAULT_REQUEST_BYTES)
    taken = _takes(broker, PRODUCT_CHANGES)
    if sent > taken:
        yield problem(
            f"the connector sends records of up to {sent:,} bytes, and topic {PRODUCT_CHANGES} takes {taken:,}",
            "lockstep topics apply",
        )


def check_passed_on_sizes(broker: BrokerSetup) -> Findings:
    """What was read from the source topic must fit into the topics that the worker writes."""
    if PRODUCT_CHANGES not in broker.topics:
        return
    source = _takes(broker, PRODUCT_CHANGES)
    least = {CHANGELOG: source, ProductChanged.topic: source, DEAD_LETTERS: source + OUR_HEADERS_BYTES}
    for topic, needed in least.items():
        if topic in broker.topics and (taken := _takes(broker, topic)) < needed:
            yield problem(
                f"topic {topic} takes records of {taken:,} bytes, and those of {PRODUCT_CHANGES} need {needed:,}",
                "lockstep topics apply",
            )


def check_signal_size(broker: BrokerSetup) -> Findings:
    """Debezium publishes its signal table, too: a signal that the topic refuses fails the task."""
    if SIGNAL_TABLE in broker.topics and (taken := _takes(broker, SIGNAL_TABLE)) < DEFAULT_MESSAGE_BYTES:
        yield problem(
            f"topic {SIGNAL_TABLE} takes records of {taken:,} bytes: a signal of many keys stops capture",
            f"kafka-configs.sh --alter --entity-type topics --entity-name {SIGNAL_TABLE} --add-config "
            f"max.message.bytes={DEFAULT_MESSAGE_BYTES}",
        )


def _takes(broker: BrokerSetup, topic: str) -> int:
    return int(broker.topics[topic].config.get("max.message.bytes") or DEFAULT_MESSAGE_BYTES)


def check_points(table: TableSetup, source: SourceSetup, collection: CollectionSetup) -> Findings:
    """An empty collection while the group has read everything: the alias points elsewhere, or it was wiped."""
    if table.has_rows and collection.points == 0 and source.lag_records == 0:
        yield problem(
            f"collection {collection.name} has no point, {TABLE} has rows, and nothing is left to read",
            "lockstep reconcile --fix, or for many rows: lockstep rebuild",
        )


CHECKS = (
    Check("the connector's offset lies within Postgres's WAL", check_offset, (ConnectorSetup, PostgresSetup)),
    Check("the source topic takes what the connector sends", check_source_size, (ConnectorSetup, BrokerSetup)),
    Check("the worker's topics take what the source topic takes", check_passed_on_sizes, (BrokerSetup,)),
    Check("the signal table's topic takes the largest signal", check_signal_size, (BrokerSetup,)),
    Check("rows have points", check_points, (TableSetup, SourceSetup, CollectionSetup)),
)
