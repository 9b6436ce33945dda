"""Two minutes of changes and faults, from a fixed seed, and an audit of every record; `make soak` runs longer."""

from pathlib import Path

import pytest

from ops.bench.soak import SoakReport, run_soak
from ops.settings import Settings

pytestmark = pytest.mark.stack


@pytest.mark.timeout(900)
async def test_promise_1_and_2_hold_through_two_minutes_of_faults(tmp_path: Path) -> None:
    report = SoakReport(seed=20261121, minutes=2, workers=2)
    said: list[str] = []
    await run_soak(Settings(_env_file=None), tmp_path / "soak", report, said.append)
    assert report.passed, (report, said)
    assert report.faults.total() > 20, report
    assert report.compacted, "the cleaner never ran, so offsets had no gaps"
    assert report.dead_letters >= report.poison - report.compacted
