"""Two minutes of changes and faults, from a fixed seed, and an audit of every record; `make soak` runs longer."""

from pathlib import Path

import pytest

from ops.bench import soak
from ops.bench.soak import SoakReport, run_soak
from ops.settings import Settings
from tests.containers.choice import USES_CONTAINERS, stack_class

pytestmark = pytest.mark.stack


@pytest.mark.timeout(900)
async def test_promise_1_and_2_hold_through_two_minutes_of_faults(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(soak, "Stack", stack_class())
    report = SoakReport(seed=20261121, minutes=2, workers=2)
    said: list[str] = []
    await run_soak(Settings(_env_file=None), tmp_path / "soak", report, said.append)
    assert report.passed, (report, said)
    assert report.faults.total() > 20, report
    # Redpanda closes no segment before its tenth minute, and compacts only what is closed.
    assert report.compacted or USES_CONTAINERS, "the cleaner never ran, so offsets had no gaps"
    assert report.dead_letters >= report.poison - report.compacted
