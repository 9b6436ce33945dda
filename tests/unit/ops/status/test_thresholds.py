"""Which level each part has, and what the line says to whoever is on call."""

from typing import Any

import pytest

from ops.settings import StatusSettings
from ops.status.limits import Level
from ops.status.report import PARTS, Line, MemberStatus, SyncStatus
from ops.status.thresholds import judge
from ops.status.workers import add_up
from schemas.collection import Phase
from tests.unit.ops.status.samples import (
    ago,
    connector,
    group,
    index,
    lag,
    reconcile_run,
    slot,
    status,
    worker,
)

G, A, R = Level.GREEN, Level.AMBER, Level.RED
GB = 1_000_000_000


def line_of(part: str, found: SyncStatus, **settings: Any) -> Line:
    [line] = [line for line in judge(found, StatusSettings(**settings)).lines if line.part == part]
    return line


def case(name: str, part: str, level: Level, says: str, hint: str | None = None, **spoilt: Any) -> Any:
    return pytest.param(part, level, says, hint, spoilt, id=name.replace(" ", "-"))


CASES = [
    case("connector runs", "connector", G, "RUNNING, task 0 RUNNING"),
    case(
        "connector unknown to Connect",
        "connector",
        R,
        "does not know products-pg-source",
        "lockstep connector apply",
        connector=connector(state="UNKNOWN", tasks=[]),
    ),
    case(
        "task failed with a known cause",
        "connector",
        R,
        "task 0 FAILED: slot is gone",
        "do this",
        connector=connector(tasks=["FAILED"], failure="slot is gone", hint="do this"),
    ),
    case(
        "task failed with an unknown cause",
        "connector",
        R,
        "FAILED: surprise",
        "lockstep connector restart",
        connector=connector(tasks=["FAILED"], failure="surprise"),
    ),
    case("connector paused", "connector", R, "PAUSED", "connector restart", connector=connector(state="PAUSED")),
    case("connector without a task", "connector", R, "no task", "connector restart", connector=connector(tasks=[])),
    case("slot active", "slot", G, "active, reserved, 136 B not confirmed"),
    case("slot not active", "slot", R, "nobody reads it", "connector status", slot=slot(active=False)),
    case("slot lost", "slot", R, "WAL that it needs is gone", "reconcile --fix", slot=slot(wal_status="lost")),
    case("slot unreserved", "slot", R, "any moment", "restart", slot=slot(wal_status="unreserved")),
    case("slot extended", "slot", G, "extended", slot=slot(wal_status="extended")),
    case("little WAL held back", "wal", G, "1.2 kB held back"),
    case("WAL just below amber", "wal", G, "held back", slot=slot(held_back_bytes=GB - 1)),
    case("WAL at amber", "wal", A, "1.0 GB held back", "connector status", slot=slot(held_back_bytes=GB)),
    case("WAL at red", "wal", R, "5.0 GB held back", "connector status", slot=slot(held_back_bytes=5 * GB)),
    case("no WAL held back", "wal", G, "nothing", slot=slot(held_back_bytes=None)),
    case("half of the allowed WAL", "wal", A, "lost after 500 B", slot=slot(held_back_bytes=500, safe_wal_bytes=500)),
    case("most of the allowed WAL", "wal", R, "lost after 100 B", slot=slot(held_back_bytes=900, safe_wal_bytes=100)),
    case("all of the allowed WAL", "wal", R, "lost after 0 B", slot=slot(held_back_bytes=900, safe_wal_bytes=-5)),
    case("nothing allowed at all", "wal", R, "lost after 0 B", slot=slot(held_back_bytes=0, safe_wal_bytes=0)),
    case("no lag", "lag", G, "0 records in 2 partitions"),
    case("a little lag", "lag", G, "999 records", lag=lag(999)),
    case("lag at amber", "lag", A, "1,000 records", "workers", lag=lag(1000)),
    case("lag at red", "lag", R, "100,000 records", "workers", lag=lag(100_000)),
    case("lag that shrinks", "lag", G, "being applied", lag=lag(5, still_seconds=0.0)),
    case("lag without progress for a moment", "lag", G, "5 records in 2 partitions", lag=lag(5, still_seconds=2.9)),
    case("lag that stands still", "lag", A, "no progress for 3 s", "workers", lag=lag(5, still_seconds=3.0)),
    case("lag that stands still and is large", "lag", R, "no progress", lag=lag(100_000, still_seconds=9.0)),
    case("nothing waits", "age", G, "newest indexed change 5 s ago, none waits"),
    case("nothing ever indexed", "age", G, "no change was indexed yet", lag=lag(newest_indexed_at=None)),
    case("a change waits", "age", G, "oldest waits 29 s", lag=lag(1, oldest_waiting_at=ago(seconds=29.9))),
    case("a change waits to amber", "age", A, "oldest waits 30 s", lag=lag(1, oldest_waiting_at=ago(seconds=30))),
    case("a change waits to red", "age", R, "oldest waits 5 min", lag=lag(1, oldest_waiting_at=ago(minutes=5))),
    case("clock of the broker ahead", "age", G, "waits 0 s", lag=lag(1, oldest_waiting_at=ago(seconds=-9))),
    case("each partition has a worker", "workers", G, "worker-1: 0-1"),
    case("no worker", "workers", R, "nothing is indexed", "lockstep worker", group=group(state="EMPTY", members=[])),
    case(
        "a partition of nobody",
        "workers",
        R,
        "nobody has partition 1",
        "lockstep worker",
        group=group(members=[MemberStatus(name="worker-1", partitions=[0])]),
    ),
    case("a rebalance", "workers", A, "preparing rebalancing", "wait", group=group(state="PREPARING_REBALANCING")),
    case("a worker gets on", "worker-1", G, "partitions 0-1, 47 records in 2 h"),
    case(
        "a worker that recovers its table",
        "worker-1",
        A,
        "recovering",
        workers=[worker(unready_because="recovering the table")],
    ),
    case(
        "a partition is held since a moment",
        "worker-1",
        A,
        "held: cannot reach qdrant (since 9 s)",
        "lockstep up",
        workers=[worker(unready_because="held: cannot reach qdrant", hint="lockstep up", held_seconds=9.9)],
    ),
    case(
        "a partition is held for long",
        "worker-1",
        R,
        "held: cannot reach qdrant (since 10 s)",
        "lockstep up",
        workers=[worker(unready_because="held: cannot reach qdrant", hint="lockstep up", held_seconds=10.0)],
    ),
    case(
        "a worker does not answer",
        "127.0.0.1:6066",
        R,
        "cannot connect",
        "lockstep logs",
        workers=[worker(name=None, error="cannot connect")],
    ),
    case("a collection that workers filled", "index", G, "products is products-20261120t100000-3a5f644c"),
    case("a collection that a rebuild completed", "index", G, "complete", index=index(phase=Phase.COMPLETE)),
    case("a rebuild that was ended while filling", "index", R, "filling", "rebuild", index=index(phase=Phase.FILLING)),
    case("a rebuild that was ended too soon", "index", R, "following", "rebuild", index=index(phase=Phase.FOLLOWING)),
    case("the recipe", "recipe", G, "3a5f644c, lockstep/all-minilm-l6-v2-int8, 384 dimensions"),
    case("as many points as rows", "rows", G, "47 rows in Postgres (counted), 47 points"),
    case("a few points less", "rows", G, "38 points", index=index(points=38)),
    case("fewer points than rows", "rows", A, "37 points", "lockstep reconcile", index=index(points=37)),
    case("more points than rows", "rows", A, "57 points", "lockstep reconcile", index=index(points=57)),
    case("fewer points while changes wait", "rows", G, "0 points", index=index(points=0), lag=lag(47)),
    case("rows that were set aside", "rows", G, "0 points", index=index(points=0), open_dead_letters=47),
    case("an estimate", "rows", G, "(estimated)", index=index(points=0), rows_estimated=True),
    case("rows while Qdrant is down", "rows", G, "47 rows", index=None),
    case(
        "what workers did",
        "work",
        G,
        "48 table entries; 30 texts embedded, 17 avoided; upsert_point 30, overwrite_payload 17",
        work=add_up([worker()]),
    ),
    case("no worker named", "work", G, "LOCKSTEP_STATUS_WORKERS", workers=[]),
    case("no worker answers", "work", G, "no worker's page answers", workers=[worker(error="gone")]),
    case("no dead letter", "dead letters", G, "0 open"),
    case(
        "one dead letter",
        "dead letters",
        A,
        "1 open: DecodeError 1",
        "lockstep dead-letters list",
        open_dead_letters=1,
        dead_letters_by_reason={"DecodeError": 1},
    ),
    case("many dead letters", "dead letters", R, "100 open", "dead-letters list", open_dead_letters=100),
    case("a reconcile without a difference", "reconcile", G, "60 min ago: 0 differences"),
    case("no reconcile", "reconcile", G, "none was run from here", last_reconcile=None),
    case("drift", "reconcile", R, "3 differences", "reconcile --fix", last_reconcile=reconcile_run(missing=3)),
    case(
        "a reconcile that failed",
        "reconcile",
        R,
        "did not come to its end: qdrant is down",
        "lockstep reconcile",
        last_reconcile=reconcile_run(error="qdrant is down"),
    ),
    case(
        "an old reconcile",
        "reconcile",
        A,
        "2 days ago",
        "lockstep reconcile",
        last_reconcile=reconcile_run(finished_at=ago(hours=48)),
    ),
]


@pytest.mark.parametrize(("part", "level", "says", "hint", "spoilt"), CASES)
def test_each_part_is_judged_by_what_is_known_of_it(
    part: str, level: Level, says: str, hint: str | None, spoilt: dict[str, Any]
) -> None:
    line = line_of(part, status(**spoilt))
    assert line.level is level, line
    assert says in line.says
    assert (hint or "") in (line.hint or "")
    assert (line.hint is None) is (level is Level.GREEN) or hint is None


def test_a_part_that_is_well_is_green_and_offers_no_help() -> None:
    found = judge(status(), StatusSettings())
    assert found.level is Level.GREEN
    assert {line.level for line in found.lines} == {Level.GREEN}
    assert {line.hint for line in found.lines} == {None}


def test_the_worst_line_is_the_level_of_the_whole() -> None:
    amber = {"open_dead_letters": 1}
    assert judge(status(**amber), StatusSettings()).level is Level.AMBER
    assert judge(status(**amber, connector=connector(tasks=[])), StatusSettings()).level is Level.RED


@pytest.mark.parametrize(
    ("setting", "part", "spoilt"),
    [
        ("lag_records", "lag", {"lag": lag(7)}),
        ("age_seconds", "age", {"lag": lag(1, oldest_waiting_at=ago(seconds=7))}),
        ("held_seconds", "worker-1", {"workers": [worker(unready_because="held", held_seconds=7.0)]}),
        ("wal_bytes", "wal", {"slot": slot(held_back_bytes=7)}),
        ("dead_letters", "dead letters", {"open_dead_letters": 7}),
        ("difference_rows", "rows", {"rows": 54}),
        ("reconcile_hours", "reconcile", {"last_reconcile": reconcile_run(finished_at=ago(hours=7))}),
    ],
)
def test_each_threshold_is_the_settings(setting: str, part: str, spoilt: dict[str, Any]) -> None:
    found = status(**spoilt)
    levels = [line_of(part, found, **{setting: text}).level for text in ("8", "7", "7,8", "6,7")]
    assert levels == [Level.GREEN, Level.AMBER, Level.AMBER, Level.RED]


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("connector", "connector"),
        ("slot", "slot"),
        ("lag", "lag"),
        ("group", "workers"),
        ("index", "index"),
        ("rows", "rows"),
        ("open_dead_letters", "dead letters"),
    ],
)
def test_a_part_that_cannot_be_asked_is_red_with_its_reason_and_what_helps(name: str, part: str) -> None:
    assert name in PARTS
    silent = status(**{name: None}, unavailable={name: "no answer within 5 s"})
    line = line_of(part, silent)
    assert line.level is Level.RED
    assert line.says.endswith(": no answer within 5 s")
    assert "lockstep up" in (line.hint or "")
    refused = status(**{name: None}, unavailable={name: "refused"}, hints={name: "knock again"})
    line = line_of(part, refused)
    assert (line.says, line.hint) == ("refused", "knock again")


def test_nothing_answers_only_when_each_part_and_each_worker_is_silent() -> None:
    silent = dict.fromkeys(PARTS, "no answer")
    gone = worker(error="cannot connect")
    assert status(unavailable=silent, workers=[gone]).nothing_answers
    assert not status(unavailable=silent, workers=[gone, worker()]).nothing_answers
    assert not status(unavailable={name: "no answer" for name in PARTS[1:]}, workers=[gone]).nothing_answers
