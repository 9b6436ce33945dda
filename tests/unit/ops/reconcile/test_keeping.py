"""What outlives the process."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from ops.reconcile.keeping import Keeping
from ops.reconcile.report import Difference, ReconcileReport, ReconcileRun, RepairReport
from schemas.errors import SettingsError

NOW = datetime(2026, 11, 20, 10, tzinfo=UTC)
DRIFT = ReconcileReport(collection="c", missing=Difference(count=1, examples=["A"]))


def run(**fields: object) -> ReconcileRun:
    return ReconcileRun.model_validate({"started_at": NOW, "finished_at": NOW} | fields)


def test_the_last_run_is_kept_in_the_place_of_the_one_before(tmp_path: Path) -> None:
    keeping = Keeping(tmp_path / "home")
    assert keeping.last_run() is None
    keeping.keep(run(error="qdrant is down"))
    keeping.keep(run(report=DRIFT))
    assert keeping.last_run() == run(report=DRIFT)
    assert [path.name for path in (tmp_path / "home" / "reports").iterdir()] == ["reconcile.json"]


def test_a_file_that_is_not_ours_is_no_run(tmp_path: Path) -> None:
    keeping = Keeping(tmp_path)
    keeping.keep(run())
    (tmp_path / "reports" / "reconcile.json").write_text("{}")
    assert keeping.last_run() is None


def test_keys_are_noted_until_they_have_been_looked_at(tmp_path: Path) -> None:
    keeping = Keeping(tmp_path)
    assert keeping.unfinished() == []
    keeping.begin(["A", "b👗"])
    assert Keeping(tmp_path).unfinished() == ["A", "b👗"]
    keeping.end()
    keeping.end()
    assert Keeping(tmp_path).unfinished() == []


def test_a_note_that_cannot_be_read_is_not_passed_over(tmp_path: Path) -> None:
    keeping = Keeping(tmp_path)
    keeping.begin(["A"])
    (tmp_path / "reports" / "reconcile-unfinished.json").write_text("[")
    with pytest.raises(SettingsError, match="names keys of a repair that was killed") as caught:
        keeping.unfinished()
    assert caught.value.hint


def test_a_home_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "reports").write_text("a file")
    with pytest.raises(SettingsError, match="cannot write"):
        Keeping(tmp_path).keep(run())


@pytest.mark.parametrize(
    ("fields", "good"),
    [
        ({"report": ReconcileReport(collection="c")}, True),
        ({"report": DRIFT}, False),
        ({"report": DRIFT, "repair": RepairReport(dry_run=True)}, False),
        ({"report": DRIFT, "repair": RepairReport(read_again=1)}, True),
        ({"report": DRIFT, "repair": RepairReport(unrepaired_count=1)}, False),
        ({"error": "qdrant is down"}, False),
        ({"report": DRIFT, "repair": RepairReport(read_again=1), "error": "the worker is down"}, False),
    ],
    ids=["in sync", "drift", "dry run", "repaired", "not all repaired", "an error", "ended in the repair"],
)
def test_a_run_is_good_when_the_two_agree_at_its_end(fields: dict[str, object], good: bool) -> None:
    assert run(**fields).good is good
