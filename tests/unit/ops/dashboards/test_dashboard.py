"""The Grafana dashboard: what it draws exists, and it fits any Grafana."""

import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from streams import metrics
from tests.unit.ops.dashboards import names
from tests.unit.ops.dashboards.prometheus import needs_promtool, promtool

ROOT = Path(__file__).parents[4]
DASHBOARD: dict[str, Any] = json.loads((ROOT / "ops" / "dashboards" / "lockstep.json").read_text())
PANELS: list[dict[str, Any]] = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
UNITS = {"s", "bytes", "short", "none", "cps", "reqps", "percentunit"}
each_panel = pytest.mark.parametrize("panel", PANELS, ids=lambda panel: f"{panel['id']} {panel['title']}")


@each_panel
def test_a_panel_draws_metrics_and_labels_that_exist(panel: dict[str, Any]) -> None:
    assert panel["targets"]
    for target in panel["targets"]:
        assert list(names.selectors(target["expr"])), target
        assert names.unknown(target["expr"]) == set(), target
        for label in re.findall(r"{{(\w+)}}", target["legendFormat"]):
            assert re.search(rf"by \([^)]*\b{label}\b", target["expr"]), target


@each_panel
def test_a_panel_says_what_it_shows_and_in_which_unit(panel: dict[str, Any]) -> None:
    assert panel["title"]
    assert panel["description"].endswith(".")
    assert panel["fieldConfig"]["defaults"]["unit"] in UNITS


def test_every_metric_is_drawn() -> None:
    drawn = " ".join(names.expressions(DASHBOARD))
    missing = [of.name for of in (*metrics.WORKER, *metrics.API) if not re.search(rf"\b{of.name}(_\w+)?\b", drawn)]
    assert missing == []


def test_the_data_source_is_chosen_where_it_is_imported() -> None:
    assert set(_sources(DASHBOARD)) == {"${datasource}"}
    assert [one["name"] for one in DASHBOARD["templating"]["list"]] == ["datasource", "worker_job", "api_job"]
    assert "uid" not in DASHBOARD
    assert "id" not in DASHBOARD


def test_every_query_asks_for_the_chosen_jobs_alone() -> None:
    for expression in names.expressions(PANELS):
        for name, matchers in names.selectors(expression):
            assert any(label == "job" and "$" in value for label, _, value in matchers), f"{name} in {expression}"


@needs_promtool
def test_every_query_is_one_to_prometheus(tmp_path: Path) -> None:
    queries = dict.fromkeys(expression.replace("$__rate_interval", "5m") for expression in names.expressions(PANELS))
    rules = [{"record": f"query{number}", "expr": query} for number, query in enumerate(queries)]
    file = tmp_path / "queries.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}))
    promtool("check", "rules", str(file))


def test_no_panel_lies_on_another() -> None:
    taken: dict[tuple[int, int], int] = {}
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        for cell in itertools.product(range(at["x"], at["x"] + at["w"]), range(at["y"], at["y"] + at["h"])):
            assert taken.setdefault(cell, panel["id"]) == panel["id"], f"{panel['title']} lies on {taken[cell]}"
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


def _sources(value: Any) -> Iterator[str]:
    """The uid of every data source that is named."""
    if isinstance(value, dict):
        if "datasource" in value:
            yield value["datasource"]["uid"]
        value = list(value.values())
    if isinstance(value, list):
        for inner in value:
            yield from _sources(inner)
