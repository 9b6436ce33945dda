"""What the measurements of one worker make of their values."""

import os
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from ops.bench.figures import BenchReport
from ops.bench.growth import CHANGE, MEMORY, TABLE, UNITS, report
from ops.bench.memory import figures_of
from ops.bench.one_worker import Memory, Start, memory_of_worker, recovery_seconds
from ops.bench.quick import ratio_of
from ops.bench.restart import Return, figures
from ops.commands import bench_worker
from schemas.errors import StackError


def a_stack(pid: int | None) -> Any:
    return SimpleNamespace(pid=lambda name: pid)


def growth_of(costs: dict[int, dict[str, list[float]]]) -> BenchReport:
    return report(costs, changes=2000, rounds=2, seed=1)


def test_cost_in_proportion_has_exponent_one_and_a_steady_one_zero() -> None:
    sizes = (1000, 3000, 9000)
    found = growth_of(
        {size: {name: [size / 1000, size / 500] for name in UNITS} | {CHANGE: [2.0, 3.0]} for size in sizes}
    )
    powers = {figure.name: figure.values for figure in found.figures if "exponent" in figure.name}
    assert powers[f"{TABLE}: exponent"] == pytest.approx((1.0, 1.0))
    assert powers[f"{CHANGE}: exponent"] == pytest.approx((0.0, 0.0))
    assert len(found.figures) == len(UNITS) * (len(sizes) + 1)


def test_cost_too_small_to_be_seen_is_said_and_has_no_exponent() -> None:
    found = growth_of({size: {name: [1.0, 1.0] for name in UNITS} | {MEMORY: [-0.5, 1.0]} for size in (100, 200)})
    assert not any(figure.name == f"{MEMORY}: exponent" for figure in found.figures)
    assert any(note.startswith(MEMORY) for note in found.notes)


def test_memory_has_its_goal_at_the_sizes_that_have_one() -> None:
    rounds = [(Memory(now=300, peak=410), Memory(now=390, peak=420))]
    assert [figure.goal for figure in figures_of(106_000, rounds)] == ["≤ 400", None, "≤ 400", None]
    assert [figure.values for figure in figures_of(7, rounds)] == [(300,), (410,), (390,), (420,)]
    assert not any(figure.goal for figure in figures_of(7, rounds))


def test_return_is_counted_from_the_signal_and_from_the_start() -> None:
    back = Return(ending_seconds=0.5, start=Start(ready_seconds=3.0, table_seconds=0.4), shown_seconds=4.0)
    assert [figure.median for figure in figures(signal.SIGTERM, [back])] == [0.5, 0.4, 3.0, 4.0, 4.5]


@pytest.mark.parametrize("number", [0, 1])
async def test_sides_take_turns_and_the_worker_is_on_top(number: int) -> None:
    ran: list[str] = []

    async def worker() -> float:
        ran.append("worker")
        return 6.0

    async def other() -> float:
        ran.append("other")
        return 3.0

    assert await ratio_of(number, worker, other) == 2.0
    assert ran == (["other", "worker"] if number else ["worker", "other"])


def test_memory_is_read_of_a_process_that_runs() -> None:
    memory = memory_of_worker(a_stack(os.getpid()))
    assert 10 < memory.now <= memory.peak
    with pytest.raises(StackError, match="cannot read the memory of worker-1"):
        memory_of_worker(a_stack(None))


def test_recovery_is_the_last_one_that_the_worker_told_of_since_its_start(tmp_path: Path) -> None:
    log = tmp_path / "worker-1.log"
    log.write_text('{"action": "table_recovered", "seconds": 9.0}\n')
    before = log.stat().st_size
    with pytest.raises(StackError, match="did not say that it read its table"):
        recovery_seconds(log, before)
    with log.open("a") as lines:
        lines.write('{"action": "table_recovered", "seconds": 0.1}\nno JSON\n')
        lines.write('{"action": "table_recovered", "seconds": 0.25}\n{"action": "worker_start"}\n')
    assert recovery_seconds(log, before) == 0.25


def test_log_that_was_put_aside_at_the_start_is_read_from_its_beginning(tmp_path: Path) -> None:
    log = tmp_path / "worker-1.log"
    log.write_text('{"action": "table_recovered", "seconds": 0.5}\n')
    assert recovery_seconds(log, 16_000_000) == 0.5


def test_growth_refuses_a_single_size() -> None:
    app = typer.Typer()
    bench_worker.register(app)
    ended = CliRunner().invoke(app, ["growth", "--rows", "500", "--rows", "500"])
    assert ended.exit_code == 2
    assert "two different" in ended.stderr
