"""Each check of the server, made to fail."""

from dataclasses import replace
from typing import Any

import pytest

from connectors.postgres_setup import CaptureSlot, OldTransaction, PostgresSetup
from ops.doctor import postgres_server as checks
from tests.unit.ops.doctor.breaks import PROBLEM, WARNING, Break, never_broken, parameters
from tests.unit.ops.doctor.healthy import DATABASE, SERVER, SLOT, STANDBY_SLOT


def server(settings: dict[str, str] | None = None, **changes: Any) -> tuple[PostgresSetup]:
    return (replace(SERVER, settings={**SERVER.settings, **(settings or {})}, **changes),)


def slot(**changes: Any) -> tuple[CaptureSlot]:
    return (CaptureSlot(replace(SLOT, **changes)),)


def old(pid: int | None, state: str, minutes: float) -> tuple[PostgresSetup]:
    return server(oldest_transaction=OldTransaction(pid=pid, who="app", state=state, age_seconds=minutes * 60))


FORGOTTEN = replace(SLOT, name="old_etl", active=False, held_bytes=3 * 1024**3)

BREAKS = [
    Break(checks.check_version, server(version=140012), PROBLEM, "Postgres 14 is too old", "upgrade"),
    Break(checks.check_primary, server(in_recovery=True), PROBLEM, "names a standby", "LOCKSTEP_POSTGRES_DSN"),
    Break(checks.check_wal_level, server({"wal_level": "replica"}), PROBLEM, "wal_level is replica", "'logical'"),
    Break(checks.check_wal_kept, server({"max_slot_wal_keep_size": "-1"}), WARNING, "has no limit", "ALTER SYSTEM"),
    Break(checks.check_wal_kept, server({"max_slot_wal_keep_size": "64"}), WARNING, "is 64 MB", "ALTER SYSTEM"),
    Break(
        checks.check_idle_timeout,
        server({"idle_replication_slot_timeout": "3600"}),
        WARNING,
        "idle_replication_slot_timeout",
        "= 0",
    ),
    Break(checks.check_room_for_slots, server({"max_replication_slots": "2"}), WARNING, "all 2 replication", "= 10;"),
    Break(checks.check_room_for_slots, server(senders=8), WARNING, "all 8 WAL senders", "max_wal_senders"),
    Break(checks.check_other_slots, server(other_slots=(FORGOTTEN,)), WARNING, "3,072 MiB", "drop_replication_slot"),
    Break(checks.check_transactions, old(7, "idle in transaction", 6), WARNING, "open for 6", "backend(7)"),
    Break(checks.check_transactions, old(7, "active", 61), WARNING, "open for 61 minutes", "backend(7)"),
    Break(checks.check_transactions, old(None, "prepared", 6), WARNING, "prepared app", "ROLLBACK PREPARED 'app'"),
    Break(checks.check_clock, server(clock_ahead_seconds=9.0), WARNING, "9.0 s ahead of", "NTP"),
    Break(checks.check_clock, server(clock_ahead_seconds=-9.0), WARNING, "9.0 s behind", "NTP"),
    Break(checks.check_standbys, slot(failover=False), WARNING, "does not survive a failover", "FAILOVER true"),
    Break(
        checks.check_standbys,
        server({"synchronized_standby_slots": ""}),
        WARNING,
        "synchronized_standby_slots is empty",
        "ALTER SYSTEM",
    ),
    Break(
        checks.check_synchronized_slots,
        server({"synchronized_standby_slots": "dbz_products, standby_1"}),
        PROBLEM,
        "names dbz_products, which is no physical slot",
        "synchronized_standby_slots = 'standby_1';",
    ),
    Break(
        checks.check_synchronized_slots,
        server(other_slots=(replace(STANDBY_SLOT, active=False),)),
        PROBLEM,
        "names standby_1, which no standby reads",
        "ALTER SYSTEM",
    ),
    Break(checks.check_slot_exists, (replace(DATABASE, slot=None),), PROBLEM, "does not exist", "reconcile --fix"),
    Break(checks.check_slot_is_ours, slot(plugin="wal2json"), PROBLEM, "plugin wal2json", "drop_replication_slot"),
    Break(checks.check_slot_is_ours, slot(database="other"), PROBLEM, "of database other", "drop_replication_slot"),
    Break(checks.check_slot_is_kept, slot(wal_status="lost"), PROBLEM, "is lost", "reconcile --fix"),
    Break(
        checks.check_slot_is_kept,
        slot(invalidation_reason="idle_timeout"),
        PROBLEM,
        "(idle_timeout)",
        "reconcile --fix",
    ),
    Break(checks.check_slot_is_kept, slot(wal_status="unreserved"), PROBLEM, "about to be lost", "keep_size"),
    Break(checks.check_slot_is_read, slot(active=False, held_bytes=2**21), PROBLEM, "2 MiB of WAL wait", "restart"),
    Break(
        checks.check_slot_lag,
        (*server({"max_slot_wal_keep_size": "-1"}), *slot(safe_bytes=None, held_bytes=6 * 1024**3)),
        WARNING,
        "holds 6,144 MiB of WAL back",
        "connector status",
    ),
    Break(checks.check_slot_lag, slot(safe_bytes=1024**3), WARNING, "is lost after 1,024 MiB more", "keep_size"),
]


@pytest.mark.parametrize("case", parameters(BREAKS))
def test_it_is_found(case: Break) -> None:
    case.assert_found(checks.CHECKS)


def test_each_check_can_fail() -> None:
    assert never_broken(BREAKS, checks.CHECKS) == []


def test_without_a_standby_nothing_is_asked_of_a_failover() -> None:
    [alone] = server({"synchronized_standby_slots": ""}, standbys=0)
    assert list(checks.check_standbys(alone, *slot(failover=False))) == []


def test_a_slow_answer_is_no_skew() -> None:
    assert list(checks.check_clock(*server(clock_ahead_seconds=4.0, clock_unsure_seconds=3.0))) == []


def test_a_slot_that_is_lost_is_not_called_unread_too() -> None:
    assert list(checks.check_slot_is_read(*slot(active=False, wal_status="lost"))) == []


def test_a_short_transaction_is_nothing_special() -> None:
    assert list(checks.check_transactions(*old(7, "active", 30))) == []


def test_the_least_that_will_do_is_enough() -> None:
    assert list(checks.check_version(*server(version=150000))) == []
    assert list(checks.check_wal_kept(*server({"max_slot_wal_keep_size": "1024"}))) == []


def test_a_slot_of_others_that_is_read_or_holds_little_is_theirs() -> None:
    read, small = replace(FORGOTTEN, active=True), replace(FORGOTTEN, held_bytes=1024)
    assert list(checks.check_other_slots(*server(other_slots=(read, small)))) == []


def test_without_a_limit_a_slot_that_holds_little_is_in_order() -> None:
    [unlimited] = server({"max_slot_wal_keep_size": "-1"})
    assert list(checks.check_slot_lag(unlimited, *slot(safe_bytes=None))) == []


def test_with_a_limit_a_slot_may_hold_much() -> None:
    assert list(checks.check_slot_lag(SERVER, *slot(held_bytes=20 * 1024**3))) == []
