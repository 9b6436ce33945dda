"""The components agree with what they stand for elsewhere, and the example renders with all of them."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from ops.commands.connector import config_from
from ops.dashboards import __file__ as dashboards
from ops.deploy.prometheus_rule import PROMETHEUS_RULE, RULES, prometheus_rule
from streams import metrics
from tests.unit.deploy.manifests import EXAMPLE, NOT_APPLIED, ROOT, assert_valid, manifests, named, one, settings_of


def test_prometheus_gives_the_jobs_the_names_that_the_rules_go_by() -> None:
    text = RULES.read_text()
    for kind, name, key in (
        ("PodMonitor", "lockstep-worker", "podMetricsEndpoints"),
        ("ServiceMonitor", "lockstep-api", "endpoints"),
    ):
        (endpoint,) = one(kind, name)["spec"][key]
        assert {"targetLabel": "job", "replacement": name} in endpoint["relabelings"]
        assert re.search(rf'job=~"{name}\.\*"', text)
        (service,) = [
            s
            for s in manifests()
            if s["kind"] == "Service" and s["metadata"]["labels"] == one(kind, name)["metadata"]["labels"]
        ]
        assert endpoint["port"] == service["spec"]["ports"][0]["name"]


def test_the_alerts_are_those_of_the_rule_file() -> None:
    assert Path(dashboards).parent / "lockstep-rules.yaml" == RULES
    assert PROMETHEUS_RULE.read_text() == prometheus_rule(RULES.read_text()), (
        "run: python -m ops.deploy.prometheus_rule"
    )
    assert one("PrometheusRule", "lockstep")["spec"] == yaml.safe_load(RULES.read_text())


def test_the_autoscaler_asks_for_a_metric_that_the_api_has() -> None:
    (metric,) = one("HorizontalPodAutoscaler", "lockstep-worker")["spec"]["metrics"]
    (adapter,) = NOT_APPLIED
    (rule,) = yaml.safe_load(adapter.read_text())["rules"]["external"]
    assert metric["external"]["metric"]["name"] == metrics.LAG_RECORDS.name
    assert rule["seriesQuery"].startswith(f"{metrics.LAG_RECORDS.name}{{")
    assert metrics.LAG_RECORDS in metrics.API
    assert metrics.LAG_RECORDS.labels == ("partition",)


def test_strimzi_runs_the_connector_that_lockstep_would_apply(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    spec = one("KafkaConnector", "products-pg-source")["spec"]
    told = {**spec["config"], "connector.class": spec["class"], "tasks.max": str(spec["tasksMax"])}
    assert told == config_from(settings_of(named("connector"), monkeypatch, tmp_path))


def test_strimzi_builds_connect_with_the_debezium_that_is_tested() -> None:
    connect = one(
        "KafkaConnect", one("KafkaConnector", "products-pg-source")["metadata"]["labels"]["strimzi.io/cluster"]
    )
    assert connect["metadata"]["annotations"]["strimzi.io/use-connector-resources"] == "true"
    (locked,) = re.findall(
        r"debezium-connector-postgres (\S+) tar\.gz", (ROOT / "ops" / "devstack" / "artifacts.lock").read_text()
    )
    (plugin,) = connect["spec"]["build"]["plugins"]
    assert [artifact["version"] for artifact in plugin["artifacts"]] == [locked]
    assert connect["spec"]["config"]["config.providers.env.class"].endswith(".EnvVarConfigProvider")
    assert connect["spec"]["template"]["connectContainer"]["env"][0]["name"] == "DEBEZIUM_DB_PASSWORD"


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed: nothing was rendered")
def test_the_example_renders_to_valid_manifests() -> None:
    ran = subprocess.run(
        ["kubectl", "kustomize", str(EXAMPLE)], capture_output=True, text=True, timeout=60, check=False
    )
    assert ran.returncode == 0, ran.stderr
    rendered = list(yaml.safe_load_all(ran.stdout))
    assert_valid(rendered)
    by_kind = {each["kind"]: each for each in rendered}
    assert {each["metadata"].get("namespace", "lockstep") for each in rendered} == {"lockstep"}
    assert "replicas" not in by_kind["StatefulSet"]["spec"]
    assert [each["name"] for each in by_kind["Job"]["spec"]["template"]["spec"]["initContainers"]] == ["topics"]
    generated = {each["metadata"]["name"]: each for each in rendered if each["kind"] in ("ConfigMap", "Secret")}
    read = set(re.findall(r"name: (lockstep-(?:settings|secrets)\S*)", yaml.safe_dump(by_kind["Deployment"])))
    assert len(read) == 2
    assert read <= generated.keys()
    (settings,) = [each["data"] for each in generated.values() if each["kind"] == "ConfigMap"]
    assert settings["LOCKSTEP_CONNECT_URL"].endswith(":8083")
    assert settings["LOCKSTEP_QDRANT_URL"] == "http://qdrant.qdrant:6333"
    assert settings["LOCKSTEP_KAFKA_BROKERS"] == "kafka:9092"
