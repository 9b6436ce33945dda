"""The rebuild benchmark's own reckoning: phases from a command's lines, ratios, and its tables."""

import asyncio
from io import StringIO

import psutil
import pytest
from rich.console import Console

from ops.bench.child import run_module
from ops.bench.rebuild_command import RebuildRun, phases
from ops.bench.rebuild_report import Live, NewModel, RebuildBenchReport, SameRecipe, percentile, ratios, tables
from ops.settings import Settings
from schemas.errors import StackError


def a_run(seconds: float, filling: float, peak: float | None = 400.0) -> RebuildRun:
    return RebuildRun(
        seconds=seconds,
        phases={"starting": 2.0, "filling": filling},
        peak_megabytes=peak,
        keys=1000,
        reused=1000,
        embedded=0,
        differences=0,
        overlap=1.0,
    )


@pytest.fixture
def report() -> RebuildBenchReport:
    same = SameRecipe(rows=1000, records=3000)
    same.rebuilds = [a_run(30, 10), a_run(20, 12, peak=450.0), a_run(90, 80, peak=None)]
    same.copy_seconds, same.guarded_copy_seconds = [9, 6, 30], [12, 10, 14]
    same.write_seconds, same.guarded_write_seconds = [5], [6]
    same.naive_records_per_second = [10, 8, 30]
    new = NewModel(rows=1000, rebuilds=[a_run(25, 20)], raw_texts_per_second=[40, 50, 80])
    return RebuildBenchReport(seed=1, same=same, new=new, live=Live(idle=[1.0, 2.0, 3.0], during=[4.0]))


def test_phases_begin_with_their_lines_and_add_up_to_the_whole() -> None:
    said = [
        (1.0, "reading: 300,000 offsets"),
        (6.0, "reading: 100,000 of 300,000, 20,000/s, 10 s left"),
        (11.0, "filling: 106,000 keys"),
        (31.0, "following: 3 offsets"),
        (31.5, "comparing with Postgres"),
        (40.0, "following: 1 offsets"),
        (40.5, "products-20261121t100000-3a5f644c is live"),
    ]
    found = phases(said, 42.0)
    assert found == {
        "starting": 1.0,
        "reading": 10.0,
        "filling": 20.0,
        "following": 1.0,
        "comparing": 8.5,
        "finishing": 1.5,
    }
    assert sum(found.values()) == 42.0


def test_ratios_are_of_medians(report: RebuildBenchReport) -> None:
    found = ratios(report)
    assert found["write_speed_ratio"] == 0.75  # 9 s by the client alone, 12 s by the rebuild
    assert found["guarded_write_speed_ratio"] == 1.0
    assert found["whole_ratio"] == 0.3
    assert found["times_naive"] == 10.0  # 3,000 records at 10 a second, by 30 s
    assert found["embedding_ratio"] == 1.0
    assert found["embedding_whole_ratio"] == 0.8
    assert found["peak_megabytes"] == 450


def test_percentiles_of_many_and_of_one() -> None:
    assert percentile([float(number) for number in range(101)], 99) == 99.0
    assert percentile([7.0], 99) == 7.0


def test_tables_fit_eighty_columns(report: RebuildBenchReport) -> None:
    shown = StringIO()
    console = Console(file=shown, width=80)
    for table in tables(report):
        console.print(table)
    text = shown.getvalue()
    assert "300" in text
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= 80


async def test_a_module_gives_its_output_and_its_peak() -> None:
    ended = await run_module(Settings(_env_file=None), "platform", "terse")
    assert ended.output.strip()
    assert ended.seconds > 0


async def test_a_module_that_fails_is_named_with_its_last_words() -> None:
    with pytest.raises(StackError, match=r"ops.cli nonsense ended with exit code 2: .*"):
        await run_module(Settings(_env_file=None), "ops.cli", "nonsense")


async def test_a_module_is_ended_when_nobody_waits_any_more() -> None:
    running = asyncio.create_task(run_module(Settings(_env_file=None), "http.server", "--bind", "127.0.0.1", "0"))
    while not (children := [child for child in psutil.Process().children() if "http.server" in child.cmdline()]):
        await asyncio.sleep(0.01)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert not children[0].is_running()
