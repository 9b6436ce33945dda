"""What the command refuses, asks, prints and exits with."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from typer.testing import CliRunner

from ops.cli import app
from ops.reconcile import run as running
from ops.reconcile.report import Difference, ReconcileReport, ReconcileRun, RepairReport, Unrepaired
from ops.reconcile.run import Asked

NOW = datetime(2026, 11, 20, 10, tzinfo=UTC)
DRIFT = ReconcileReport(
    collection="products-20261120t100000-3a5f644c",
    rows=106_000,
    points=105_999,
    missing=Difference(count=21, examples=[f"010877501{n}" for n in range(20)]),
    vectors=100,
)
PLAN = RepairReport(dry_run=True, read_again=21)


class Runs:
    """Stands for `ops.reconcile.run.run`: finds drift, repairs it where that is asked for and approved."""

    def __init__(self, report: ReconcileReport = DRIFT, unrepaired: int = 0) -> None:
        self.asked: list[Asked] = []
        self._report = report
        self._unrepaired = unrepaired

    async def __call__(
        self, settings: object, asked: Asked, *, approve: Callable[..., bool], say: Callable[[str], None]
    ) -> ReconcileRun:
        self.asked.append(asked)
        repair = None
        if asked.fix and not self._report.in_sync:
            repair = PLAN
            if not asked.dry_run and approve(self._report, PLAN):
                left = [Unrepaired(key="A\x1b[2J", reason="set aside", dead_letter="t[0]@1")] * self._unrepaired
                repair = RepairReport(read_again=21, unrepaired=left, unrepaired_count=len(left))
        return ReconcileRun(started_at=NOW, finished_at=NOW, report=self._report, repair=repair)


def invoke(monkeypatch: pytest.MonkeyPatch, runs: Runs, *arguments: str, answer: str = "") -> Any:
    monkeypatch.setattr(running, "run", runs)
    return CliRunner().invoke(app, ["reconcile", *arguments], input=answer, env={"COLUMNS": "80"})


@pytest.mark.parametrize(
    ("report", "arguments", "unrepaired", "code"),
    [
        (ReconcileReport(collection="c"), (), 0, 0),
        (DRIFT, (), 0, 1),
        (DRIFT, ("--fix", "--dry-run"), 0, 1),
        (DRIFT, ("--fix", "--yes"), 0, 0),
        (DRIFT, ("--fix", "--yes"), 1, 1),
    ],
    ids=["in sync", "drift", "dry run", "repaired", "not all repaired"],
)
def test_exit_code_is_1_while_the_two_differ(
    monkeypatch: pytest.MonkeyPatch, report: ReconcileReport, arguments: tuple[str, ...], unrepaired: int, code: int
) -> None:
    assert invoke(monkeypatch, Runs(report, unrepaired), *arguments).exit_code == code


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("n\n", 1)])
def test_it_asks_once_the_plan_is_known(monkeypatch: pytest.MonkeyPatch, answer: str, code: int) -> None:
    result = invoke(monkeypatch, Runs(), "--fix", answer=answer)
    assert "21 rows would be read again by Debezium" in result.output
    assert result.exit_code == code
    assert ("repaired and looked at again" in result.output) is (code == 0)


def test_a_report_fits_80_columns_and_nothing_in_it_gives_orders_to_the_terminal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    result = invoke(monkeypatch, Runs(unrepaired=1), "--fix", "--yes")
    assert max(map(len, result.stdout.splitlines())) <= 80
    assert "\x1b[2J" not in result.stdout
    assert "not repaired: A\\x1b[2J: set aside (t[0]@1)" in result.stdout


def test_json_has_the_report_the_repair_and_the_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    told = orjson.loads(invoke(monkeypatch, Runs(), "--fix", "--yes", "--json").stdout)
    assert (told["missing"]["count"], told["in_sync"], told["good"], told["repair"]["read_again"]) == (
        21,
        False,
        True,
        21,
    )


@pytest.mark.parametrize(
    ("arguments", "asked"),
    [
        ((), Asked()),
        (("--sample", "5%"), Asked(share=0.05)),
        (("--sample", "0.5 %"), Asked(share=0.005)),
        (("--sample", "100%"), Asked()),
        (("--vectors", "0"), Asked(vectors=0)),
        (("--fix", "--dry-run"), Asked(fix=True, dry_run=True)),
    ],
)
def test_options_say_what_is_asked(monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], asked: Asked) -> None:
    runs = Runs()
    invoke(monkeypatch, runs, *arguments)
    assert runs.asked == [asked]


@pytest.mark.parametrize(
    "arguments",
    [
        ("--sample", "0%"),
        ("--sample", "0.05"),
        ("--sample", "101%"),
        ("--every", "0h"),
        ("--every", "daily"),
        ("--dry-run",),
        ("--fix", "--json"),
        ("--fix", "--every", "24h"),
        ("--vectors", "-1"),
    ],
    ids=" ".join,
)
def test_options_that_make_no_sense_are_refused(monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]) -> None:
    runs = Runs()
    assert invoke(monkeypatch, runs, *arguments).exit_code == 2
    assert runs.asked == []
