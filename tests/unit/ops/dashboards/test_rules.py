"""The alerts: what they name exists, and each fires in the fault it is for and in no other."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.ops.dashboards import names, recorded
from tests.unit.ops.dashboards.prometheus import needs_promtool, promtool

ROOT = Path(__file__).parents[4]
RULES = ROOT / "ops" / "dashboards" / "lockstep-rules.yaml"
GROUPS: list[dict[str, Any]] = yaml.safe_load(RULES.read_text())["groups"]
ALERTS: dict[str, dict[str, Any]] = {
    rule["alert"]: rule for group in GROUPS for rule in group["rules"] if "alert" in rule
}
WORKER = 'lockstep_{}{{job="lockstep-worker",instance="worker-1"'
API = 'lockstep_{}{{job="lockstep-api",instance="api"'


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A recording, what is changed in it, how long it lasts, and the alerts that fire at its end."""

    state: str
    fires: frozenset[str]
    minutes: int = 44
    as_if: Mapping[str, float] = field(default_factory=dict)
    silent: str | None = None


def fault(state: str, *fires: str, **more: Any) -> Fault:
    return Fault(state=state, fires=frozenset(f"Lockstep{name}" for name in fires), **more)


def api(metric: str, labels: str = "") -> str:
    """The beginning of a series of the API."""
    return API.format(metric) + labels


BEHIND = ("IndexBehind", "IndexFarBehind")
NOT_CAPTURED = ("ConnectorDown", "SlotInactive", *BEHIND)
NAMED = {name for group in GROUPS for rule in group["rules"] for name, _ in names.selectors(rule["expr"])}
FAULTS = {
    "nothing is wrong": fault("healthy"),
    "qdrant was stopped four minutes ago": fault(
        "qdrant-stopped", "PartitionsHeld", "SearchesFail", "PartDown", minutes=4
    ),
    "qdrant is stopped": fault(
        "qdrant-stopped", "PartitionsHeld", "SearchesFail", "PartDown", "NoProgress", "LagGrowing", *BEHIND
    ),
    "three records are bad": fault("dead-letters", "DeadLetters"),
    "a hundred records are bad": fault(
        "dead-letters", "DeadLetters", "ManyDeadLetters", as_if={api("open_dead_letters"): 100}
    ),
    "the connector is paused": fault("connector-paused", "ConnectorDown", *BEHIND),
    "connect is stopped": fault("connect-stopped", *NOT_CAPTURED),
    "the slot holds back half of what it may": fault("wal-half", *NOT_CAPTURED, "WalHeldBack"),
    "the slot is nearly lost": fault("wal-nearly", *NOT_CAPTURED, "WalHeldBack", "SlotNearlyLost"),
    "postgres may drop the slot's WAL": fault(
        "connect-stopped",
        *NOT_CAPTURED,
        "SlotNearlyLost",
        as_if={api("slot_wal_status", ',status="unreserved"'): 1, api("slot_wal_status", ',status="reserved"'): 0},
    ),
    "the slot is lost": fault("slot-lost", *NOT_CAPTURED, "SlotLost"),
    "points were removed behind our back": fault("drift", "DriftOpen"),
    "the last reconciliation failed": fault("healthy", "ReconcileFailed", as_if={api("reconcile_failed"): 1}),
    "the last reconciliation is three days old": fault(
        "healthy", "ReconcileOld", as_if={api("reconcile_age_seconds"): 3 * 86400}
    ),
    "a rebuild stopped before its move": fault("rebuild-unfinished"),
    "a rebuild stopped before its move, seven hours ago": fault(
        "rebuild-unfinished", "RebuildUnfinished", minutes=7 * 60
    ),
    "a rebuild was killed after its move": fault(
        "rebuild-unfinished",
        "LiveCollectionIncomplete",
        as_if={api("collections", ',phase="none"'): 0, api("collections", ',phase="kept"'): 1},
    ),
    "one worker of two is killed": fault("worker-killed", "WorkerDown"),
    "all workers are killed": fault("workers-killed", "WorkerDown", "NoWorker", "NoProgress", "LagGrowing", *BEHIND),
    "a worker does not get its table": fault("healthy", "WorkerNotReady", as_if={WORKER.format("worker_ready"): 0}),
    "the API looks no more": fault("healthy", "StatusOld", as_if={api("status_age_seconds"): 300}),
    "the API is stopped": fault("healthy", "ApiDown", silent="api"),
}


def test_every_alert_says_how_bad_it_is_what_it_means_and_what_to_do() -> None:
    for name, rule in ALERTS.items():
        assert name.startswith("Lockstep"), name
        assert rule["labels"]["severity"] in ("warning", "critical"), name
        assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}, name
        assert all(rule["annotations"].values()), name
    assert len(ALERTS) == sum("alert" in rule for group in GROUPS for rule in group["rules"])


def test_every_alert_has_its_section_in_the_runbook() -> None:
    for name, rule in ALERTS.items():
        path, _, anchor = rule["annotations"]["runbook_url"].partition("#")
        assert anchor == name.lower(), name
        assert anchor in _anchors(ROOT / path), name


@pytest.mark.parametrize("page", ["runbooks.md", "monitoring.md"])
def test_every_link_of_a_page_leads_somewhere(page: str) -> None:
    for path, anchor in re.findall(r"\]\(([\w.-]*)(?:#([\w-]+))?\)", (ROOT / "docs" / page).read_text()):
        anchors = _anchors(ROOT / "docs" / (path or page))
        assert not anchor or anchor in anchors, f"{path}#{anchor}"


def test_every_section_of_an_alert_has_its_alert() -> None:
    headings = re.findall(r"^#+ (Lockstep\w+)$", (ROOT / "docs" / "runbooks.md").read_text(), re.MULTILINE)
    assert sorted(headings) == sorted(ALERTS)


def test_every_rule_names_metrics_and_labels_that_exist() -> None:
    for group in GROUPS:
        for rule in group["rules"]:
            assert names.unknown(rule["expr"]) == set(), rule


def test_every_label_value_that_a_rule_asks_for_is_one_that_a_stack_gave() -> None:
    seen = {series for path in recorded.DATA.glob("*.txt") for series in recorded.read(path.stem)}
    for group in GROUPS:
        for rule in group["rules"]:
            for metric, label, value in names.asked(rule["expr"]):
                given = {found[1] for s in seen if recorded.name_of(s) == metric and (found := _value(s, label))}
                assert value in given, f"{metric}{{{label}={value}}}"


def test_every_alert_has_a_fault_that_it_is_tried_on() -> None:
    assert {name for fault in FAULTS.values() for name in fault.fires} == set(ALERTS)


@needs_promtool
def test_the_rules_are_good_to_prometheus() -> None:
    promtool("check", "rules", str(RULES))


@needs_promtool
def test_each_alert_fires_in_its_fault_and_in_no_other(tmp_path: Path) -> None:
    """One run for all faults: `promtool` names the fault, the alerts that should fire, and those that did."""
    cases = tmp_path / "faults.yaml"
    tests = [_case(name, fault) for name, fault in FAULTS.items()]
    # Without an order promtool evaluates the groups in any: an alert saw its recording rule of now, or that of before.
    order = [group["name"] for group in GROUPS]
    document = {"rule_files": [str(RULES)], "evaluation_interval": "2m", "group_eval_order": order, "tests": tests}
    cases.write_text(yaml.dump(document, Dumper=yaml.CSafeDumper, width=1000))
    promtool("test", "rules", str(cases))


def _case(name: str, fault: Fault) -> dict[str, Any]:
    """No alert fires while all is well; then exactly those that are named."""
    asked = f'max by (alertname) (ALERTS{{alertstate="firing"}})  # {name}'
    fires = [{"labels": f'{{alertname="{alert}"}}', "value": 1} for alert in sorted(fault.fires)]
    return {
        "name": name,
        "interval": "1m",
        "input_series": [
            series
            for series in recorded.fault(fault.state, minutes=fault.minutes, as_if=fault.as_if, silent=fault.silent)
            if recorded.name_of(series["series"]) in NAMED
        ],
        "promql_expr_test": [
            {"expr": asked, "eval_time": f"{recorded.HEALTHY_MINUTES}m", "exp_samples": []},
            {"expr": asked, "eval_time": f"{recorded.HEALTHY_MINUTES + fault.minutes}m", "exp_samples": fires},
        ],
    }


def _anchors(page: Path) -> set[str]:
    """What can be linked to in a page: its headings, as GitHub writes them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


def _value(series: str, label: str) -> re.Match[str] | None:
    return re.search(rf'[{{,]{label}="([^"]*)"', series)
