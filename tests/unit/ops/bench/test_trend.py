"""The history of ratios: kept line by line, shown against what came before."""

from io import StringIO
from pathlib import Path

import orjson
import pytest
from rich.console import Console

from ops.bench.figures import BenchReport, Ratio
from ops.bench.trend import Run, keep, table
from schemas.errors import StackError


def a_run(texts: float, number: int = 0) -> Run:
    return Run(
        date=f"2026-11-{number + 1:02}T10:00:00+00:00", revision="1a2b3c4d5e6f", ratios={"texts": texts}, machine={}
    )


def shown(runs: list[Run]) -> str:
    text = StringIO()
    Console(file=text, width=80).print(table(runs))
    return text.getvalue()


def test_run_holds_the_medians_of_a_report_and_its_machine() -> None:
    report = BenchReport(
        scenario="quick",
        seed=1,
        sizes={},
        figures=(),
        ratios=(Ratio(name="texts", values=(0.5, 0.9, 0.6)),),
    )
    run = Run.of(report, "abc")
    assert run.ratios == {"texts": 0.6}
    assert run.revision == "abc"
    assert run.machine["cores"]


def test_each_run_is_a_line_and_comes_back_with_those_before_it(tmp_path: Path) -> None:
    path = tmp_path / "kept" / "history.jsonl"
    runs = [a_run(0.5, 0), a_run(0.6, 1), a_run(0.7, 2)]
    assert [keep(path, run) for run in runs] == [runs[:1], runs[:2], runs]
    assert len(path.read_bytes().splitlines()) == 3


def test_line_that_was_cut_off_is_passed_over_and_spoils_no_other(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    keep(path, a_run(0.5))
    path.write_bytes(path.read_bytes() + b'[1]\n{"some": "thing"}\n{"date": "2026-')
    assert keep(path, a_run(0.6)) == [a_run(0.5), a_run(0.6)]
    assert keep(path, a_run(0.7)) == [a_run(0.5), a_run(0.6), a_run(0.7)]
    assert orjson.loads(path.read_bytes().splitlines()[-1])["ratios"] == {"texts": 0.7}


def test_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(StackError, match=f"cannot keep the history in {tmp_path}"):
        keep(tmp_path, a_run(0.5))


def test_last_ten_are_shown_each_against_the_median_of_all_before_it() -> None:
    lines = shown(
        [a_run(value, number) for number, value in enumerate([1.0, 3.0, 2.0, *[2.0] * 7, 4.0, 1.0])]
    ).splitlines()
    assert len(lines) == 11
    assert lines[1].split() == ["2026-11-03", "1a2b3c4d", "2.00", "+0", "%"]
    assert lines[-2].split() == ["2026-11-11", "1a2b3c4d", "4.00", "+100", "%"]
    assert lines[-1].split() == ["2026-11-12", "1a2b3c4d", "1.00", "-50", "%"]


def test_first_run_and_a_new_ratio_have_nothing_to_be_compared_with() -> None:
    newer = Run(date="2026-11-02T10:00:00+00:00", revision="", ratios={"memory": 1.5}, machine={})
    lines = shown([a_run(0.5), newer]).splitlines()
    assert lines[1].split() == ["2026-11-01", "1a2b3c4d", "0.50"]
    assert lines[2].split() == ["2026-11-02", "1.50"]
