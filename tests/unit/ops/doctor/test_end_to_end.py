"""Each check of two systems, made to fail."""

from dataclasses import replace

import pytest

from connectors.kafka import Watermarks
from ops.doctor import end_to_end as checks
from ops.doctor.broker_setup import BrokerSetup
from ops.doctor.capture import REQUEST_SIZE
from streams.topics import CHANGELOG, DEAD_LETTERS, MAX_RECORD_BYTES, PRODUCT_CHANGES, SIGNAL_TABLE
from tests.unit.ops.doctor.breaks import PROBLEM, Break, never_broken, parameters
from tests.unit.ops.doctor.healthy import BROKER, COLLECTION, CONNECTOR, SERVER, SOURCE, TABLE

AHEAD = replace(CONNECTOR, offset_lsn=SERVER.wal_position + 1)
GREEDY = replace(CONNECTOR, config={**CONNECTOR.config, REQUEST_SIZE: "20000000"})
EMPTY = replace(COLLECTION, points=0)


def takes(topic: str, size_bytes: int) -> tuple[BrokerSetup]:
    state = replace(BROKER.topics[topic], config={"max.message.bytes": str(size_bytes)})
    return (replace(BROKER, topics={**BROKER.topics, topic: state}),)


BREAKS = [
    Break(checks.check_offset, (AHEAD,), PROBLEM, "it skips every change until then", "/offsets"),
    Break(checks.check_source_size, (GREEDY,), PROBLEM, "up to 20,000,000 bytes", "topics apply"),
    Break(checks.check_source_size, takes(PRODUCT_CHANGES, 1000), PROBLEM, "takes 1,000", "topics apply"),
    Break(checks.check_passed_on_sizes, takes(CHANGELOG, 1000), PROBLEM, CHANGELOG, "topics apply"),
    Break(checks.check_passed_on_sizes, takes(DEAD_LETTERS, MAX_RECORD_BYTES), PROBLEM, DEAD_LETTERS, "topics apply"),
    Break(checks.check_signal_size, takes(SIGNAL_TABLE, 1000), PROBLEM, SIGNAL_TABLE, "max.message.bytes=1048588"),
    Break(checks.check_points, (EMPTY,), PROBLEM, "has no point, public.products has rows", "reconcile --fix"),
]


@pytest.mark.parametrize("case", parameters(BREAKS))
def test_it_is_found(case: Break) -> None:
    case.assert_found(checks.CHECKS)


def test_each_check_can_fail() -> None:
    assert never_broken(BREAKS, checks.CHECKS) == []


def test_a_connector_without_an_offset_is_at_its_first_snapshot() -> None:
    assert list(checks.check_offset(replace(CONNECTOR, offset_lsn=None), SERVER)) == []


def test_an_empty_collection_is_in_order_while_records_wait() -> None:
    behind = replace(SOURCE, marks={0: Watermarks(low=0, high=9)})
    assert list(checks.check_points(TABLE, behind, EMPTY)) == []


def test_a_missing_topic_has_no_size() -> None:
    nothing = replace(BROKER, topics={})
    assert list(checks.check_source_size(CONNECTOR, nothing)) == []
    assert list(checks.check_passed_on_sizes(nothing)) == []


def test_a_connector_at_the_very_end_of_the_wal_is_not_ahead() -> None:
    assert list(checks.check_offset(replace(CONNECTOR, offset_lsn=SERVER.wal_position), SERVER)) == []
