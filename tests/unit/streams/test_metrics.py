"""What holds for every metric: one place for its name, a unit in it, a line in the documentation."""

import re
from pathlib import Path

import pytest

from streams import metrics
from streams.metrics import Definition, Kind

ROOT = Path(__file__).parents[3]
EVERY = (*metrics.WORKER, *metrics.API)
NAMES = {definition.name for definition in EVERY}
SAMPLES = NAMES | {
    f"{definition.name}_{suffix}"
    for definition in EVERY
    if definition.kind is Kind.HISTOGRAM
    for suffix in ("bucket", "count", "sum")
}
UNITS = ("_total", "_seconds", "_records", "_bytes", "_rows", "_points", "_entries")
STATES = {
    "lockstep_worker_info",
    "lockstep_worker_ready",
    "lockstep_held",
    "lockstep_late_deletes_waiting",
    "lockstep_part_up",
    "lockstep_group_members",
    "lockstep_slot_active",
    "lockstep_slot_wal_status",
    "lockstep_connector_running",
    "lockstep_open_dead_letters",
    "lockstep_collections",
    "lockstep_reconcile_failed",
}
"""Yes or no, or a count of what the name says: they need no unit."""


def _files(*suffixes: str) -> list[Path]:
    folders = [ROOT / package for package in ("schemas", "streams", "connectors", "ops")]
    return [path for folder in folders for path in folder.rglob("*") if path.suffix in suffixes]


def test_no_metric_is_defined_twice_or_left_out() -> None:
    defined = {value.name for value in vars(metrics).values() if isinstance(value, Definition)}
    assert len(NAMES) == len(EVERY)
    assert defined == NAMES


def test_every_name_says_its_unit() -> None:
    assert not [name for name in sorted(NAMES - STATES) if not name.endswith(UNITS)]
    assert {definition.name for definition in EVERY if definition.kind is Kind.COUNTER} == {
        name for name in NAMES if name.endswith("_total")
    }


def test_code_takes_every_name_from_the_one_module() -> None:
    written = re.compile(rf"\b({'|'.join(sorted(SAMPLES, key=len, reverse=True))})\b")
    found = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in _files(".py")
        if path != ROOT / "streams" / "metrics.py"
        for name in written.findall(path.read_text())
    }
    assert not found


@pytest.mark.parametrize(
    "path",
    [
        ROOT / "docs" / "metrics.md",
        *_files(".html", ".js", ".css"),
        *(path for path in _files(".json", ".yml", ".yaml") if "dashboards" in path.parts),
    ],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_pages_dashboards_and_documentation_name_only_metrics_that_exist(path: Path) -> None:
    named = set(re.findall(r"\blockstep_[a-z_]+[a-z]", path.read_text()))
    assert not named - SAMPLES


def test_the_documentation_has_a_line_for_every_metric() -> None:
    lines = [
        f"| `{definition.name}` | {definition.kind} |{_cell(definition.labels)}| {definition.meaning} |"
        for definition in EVERY
    ]
    documented = (ROOT / "docs" / "metrics.md").read_text().splitlines()
    assert [line for line in documented if line.startswith("| `lockstep_")] == lines


def _cell(labels: tuple[str, ...]) -> str:
    return f" {', '.join(f'`{label}`' for label in labels)} " if labels else " "
