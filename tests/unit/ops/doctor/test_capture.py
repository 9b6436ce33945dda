"""Each check of the connector, made to fail."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from connectors.debezium.connect import TaskStatus
from connectors.debezium.connect_setup import ConnectorSetup
from ops.doctor import capture as checks
from tests.unit.ops.doctor.breaks import PROBLEM, WARNING, Break, never_broken, parameters
from tests.unit.ops.doctor.healthy import CAPTURE, CONNECTOR, STATUS, WANTED

APPLY = "lockstep connector apply"
NO_PERMISSION = "org.postgresql.util.PSQLException: ERROR: permission denied for table products\n\tat org.x.Y(Y.java)"


def option(name: str, value: str | None) -> tuple[ConnectorSetup]:
    config: Mapping[str, str] = {**CONNECTOR.config, name: value} if value is not None else _without(name)
    return (replace(CONNECTOR, config=config),)


def _without(name: str) -> dict[str, str]:
    return {option: value for option, value in CONNECTOR.config.items() if option != name}


def status(**changes: Any) -> tuple[ConnectorSetup]:
    return (replace(CONNECTOR, status=replace(STATUS, **changes)),)


FAILED = TaskStatus(id=0, state="FAILED", worker="connect:8083", trace=NO_PERMISSION)
DELETES = "transforms.unwrap.delete.tombstone.handling.mode"

BREAKS = [
    Break(checks.check_presence, (replace(CAPTURE, connector=None),), PROBLEM, "does not exist", APPLY),
    Break(checks.check_running, status(tasks=(FAILED,)), PROBLEM, "permission denied for table products", "roles.sql"),
    Break(checks.check_running, status(state="PAUSED"), PROBLEM, "PAUSED, RUNNING", "connector restart"),
    Break(checks.check_running, status(tasks=()), PROBLEM, "no task", "connector restart"),
    Break(checks.check_drift, option("tombstones.on.delete", "false"), PROBLEM, "compaction never drops", APPLY),
    Break(checks.check_drift, option("message.key.columns", None), PROBLEM, "is not set, ours is", APPLY),
    Break(checks.check_drift, option("decimal.handling.mode", "precise"), PROBLEM, "lose their exactness", APPLY),
    Break(checks.check_drift, option("snapshot.mode", "initial"), PROBLEM, "after a lost slot", APPLY),
    Break(checks.check_drift, option("signal.enabled.channels", "kafka"), PROBLEM, "signals of reconcile", APPLY),
    Break(checks.check_drift, option("heartbeat.action.query", None), PROBLEM, "WAL piles up", APPLY),
    Break(checks.check_drift, option("errors.tolerance", "all"), PROBLEM, "skips what it cannot convert", APPLY),
    Break(checks.check_drift, option(DELETES, "drop"), PROBLEM, "deletes do not arrive", APPLY),
    Break(checks.check_drift, option("column.exclude.list", "public.products.color"), PROBLEM, "left out", APPLY),
    Break(checks.check_drift, option("poll.interval.ms", "500"), WARNING, "is '500', ours is '50'", APPLY),
    Break(checks.check_drift, option("time.precision.mode", "connect"), WARNING, "ours is 'adaptive'", APPLY),
    Break(checks.check_drift, option("database.ssl.password", "s3cret"), WARNING, "is ***, ours is not set", APPLY),
    *(
        Break(checks.check_ignored_options, option(name, "x"), WARNING, f"ignores connector option {name}", APPLY)
        for name in (
            "database.server.name",
            "transforms.unwrap.delete.handling.mode",
            "drop.tombstones",
            "transforms.unwrap.operation.header",
            "table.whitelist",
            "slot.drop_on_stop",
            "toasted.value.placeholder",
            "heartbeat.topics.prefix",
            "database.history.kafka.topic",
            "errors.deadletterqueue.topic.name",
        )
    ),
    Break(checks.check_heartbeat_interval, option("heartbeat.interval.ms", "0"), PROBLEM, "is off", APPLY),
    Break(checks.check_heartbeat_interval, option("heartbeat.interval.ms", None), PROBLEM, "is off", APPLY),
    Break(checks.check_request_size, option(checks.REQUEST_SIZE, None), PROBLEM, "is 1,048,576 bytes", APPLY),
    Break(checks.check_password, option("database.password", "s3cret"), WARNING, "holds the password", "DEBEZIUM_DB"),
]


@pytest.mark.parametrize("case", parameters(BREAKS))
def test_it_is_found(case: Break) -> None:
    case.assert_found(checks.CHECKS)


def test_each_check_can_fail() -> None:
    assert never_broken(BREAKS, checks.CHECKS) == []


@pytest.mark.parametrize("name", sorted(WANTED.keys() & checks.VITAL.keys()))
def test_every_vital_option_of_ours_is_missed(name: str) -> None:
    [found] = checks.check_drift(*option(name, None), CAPTURE)
    assert (found.severity, name in found.says) == (PROBLEM, True)


def test_an_ignored_option_is_told_once() -> None:
    [broken] = option("drop.tombstones", "false")
    assert list(checks.check_drift(broken, CAPTURE)) == []


@pytest.mark.parametrize("judge", [check.judge for check in checks.CHECKS if check.needs == (ConnectorSetup,)])
def test_no_password_is_shown(judge: Any) -> None:
    [broken] = option("database.password", "s3cret")
    assert all("s3cret" not in finding.says for finding in judge(broken))
    assert all("s3cret" not in finding.says for finding in checks.check_drift(broken, CAPTURE))
