"""The base agrees with itself, and with what the program reads, serves and waits for."""

from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import kubernetes_validate
import pytest
import typer
import yaml

from ops import worker
from ops.api import health_routes
from ops.cli import app as cli
from ops.settings import variable_names
from streams import topics
from streams.web import STALLED_AFTER_SECONDS, register_pages
from tests.fakes.worker import worker_state
from tests.unit.deploy.manifests import (
    BASE,
    DEPLOY,
    NOT_APPLIED,
    Manifest,
    assert_valid,
    containers,
    environment,
    folders,
    manifests,
    named,
    one,
    selectors,
    selects,
    settings_of,
    templates,
)


def test_every_manifest_is_valid_and_has_no_unknown_field() -> None:
    assert_valid(manifests())


def test_the_schemas_refuse_a_field_that_is_not_known() -> None:
    misspelt = one("PodDisruptionBudget", "lockstep-worker") | {"spec": {"maxUnavaliable": 1}}
    with pytest.raises(kubernetes_validate.ValidationError, match="maxUnavaliable"):
        assert_valid([misspelt])


def test_what_a_kustomization_names_is_there_and_every_file_is_named() -> None:
    named_files = set(NOT_APPLIED)
    for folder in folders():
        kustomization = yaml.safe_load((folder / "kustomization.yaml").read_text())
        places = [*kustomization["resources"], *kustomization.get("components", ())]
        for generator in (*kustomization.get("configMapGenerator", ()), *kustomization.get("secretGenerator", ())):
            places += [*generator.get("envs", ()), *generator.get("files", ())]
        for place in places:
            assert (folder / place).exists(), f"{folder}: {place}"
        named_files |= {(folder / place).resolve() for place in places if (folder / place).is_file()}
    files = {path for path in DEPLOY.rglob("*.*") if path.is_file() and path.suffix not in (".py", ".pyc")}
    assert {path for path in files if path.name != "kustomization.yaml"} == named_files


def test_every_setting_is_one_of_ours_and_its_value_is_accepted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    merged = [
        literal.partition("=")[0]
        for folder in folders()
        for generator in yaml.safe_load((folder / "kustomization.yaml").read_text()).get("configMapGenerator", ())
        for literal in generator.get("literals", ())
    ]
    for container, _ in containers():
        assert {*environment(container), *merged} <= set(variable_names())
        with monkeypatch.context() as patch:
            settings_of(container, patch, tmp_path)


def test_no_service_puts_variables_into_a_pod_that_look_like_settings() -> None:
    assert one("Service", "lockstep-api")  # by which LOCKSTEP_API_PORT would be tcp://…
    assert all(pod["enableServiceLinks"] is False for _, pod in containers())


def test_every_container_runs_a_command_that_the_program_has() -> None:
    for container, _ in containers():
        command: Any = typer.main.get_command(cli)
        arguments = list(container["args"])
        while hasattr(command, "commands"):
            command = command.commands[arguments.pop(0)]
        command.make_context("lockstep", arguments)  # refuses an option that it does not know


def test_there_are_never_more_workers_than_partitions() -> None:
    scale = one("HorizontalPodAutoscaler", "lockstep-worker")["spec"]
    replicas = one("StatefulSet", "lockstep-worker")["spec"]["replicas"]
    assert replicas == scale["minReplicas"] <= scale["maxReplicas"] == topics.PARTITIONS


def test_a_worker_is_named_as_its_pod_and_takes_as_many_threads_as_cpus(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    container = named("worker")
    assert {"name": "LOCKSTEP_WORKER_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}} in container[
        "env"
    ]
    settings = settings_of(container, monkeypatch, tmp_path)
    assert str(settings.embedding.threads) == container["resources"]["requests"]["cpu"]
    assert (settings.worker.web_host, settings.worker.web_port) == ("0.0.0.0", container["ports"][0]["containerPort"])


def test_the_status_asks_the_workers_that_are_always_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    workers = one("StatefulSet", "lockstep-worker")["spec"]
    (port,) = one("Service", workers["serviceName"])["spec"]["ports"]
    assert settings_of(named("api"), monkeypatch, tmp_path).status.worker_urls == tuple(
        f"http://lockstep-worker-{number}.{workers['serviceName']}:{port['port']}"
        for number in range(workers["replicas"])
    )


class Pages:
    """Takes the place of the Faust app: it remembers the paths that are registered."""

    def __init__(self) -> None:
        self.paths: list[str] = []

    def page(self, path: str, name: str) -> Any:
        self.paths.append(path)
        return lambda handler: handler


def test_probes_ask_pages_that_are_served_and_ports_that_are_open() -> None:
    pages = Pages()
    register_pages(cast(Any, pages), state=worker_state, silence_seconds=lambda: 0.0)
    served = {"worker": pages.paths, "api": [operation.path for operation in health_routes.operations({})]}
    probed = 0
    for container, _ in containers():
        for probe in (value for name, value in container.items() if name.endswith("Probe")):
            assert probe["httpGet"]["path"] in served[container["name"]]
            assert probe["httpGet"]["port"] in [port["name"] for port in container["ports"]]
            probed += 1
    assert probed == 6


def test_a_held_worker_is_not_restarted_and_does_not_keep_a_node_from_being_drained() -> None:
    assert named("worker")["readinessProbe"]["httpGet"]["path"] == "/health/ready"
    for probe in ("startupProbe", "livenessProbe"):
        assert named("worker")[probe]["httpGet"]["path"] == "/health/live"
    budget = one("PodDisruptionBudget", "lockstep-worker")["spec"]
    assert budget["unhealthyPodEvictionPolicy"] == "AlwaysAllow"
    assert one("Service", "lockstep-workers")["spec"]["publishNotReadyAddresses"] is True


def test_the_api_takes_requests_while_a_part_is_down() -> None:
    assert named("api")["readinessProbe"]["httpGet"]["path"] == "/health/live"


def patience_seconds(probe: Manifest) -> int:
    return int(probe["periodSeconds"]) * int(probe["failureThreshold"])


def test_probes_and_grace_periods_leave_the_time_that_the_program_takes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert patience_seconds(named("worker")["startupProbe"]) >= 2 * worker.BROKER_PATIENCE_SECONDS
    assert patience_seconds(named("worker")["livenessProbe"]) > STALLED_AFTER_SECONDS
    grace = {template["metadata"]["labels"]["app.kubernetes.io/name"]: template["spec"] for template in templates()}
    assert grace["lockstep-worker"]["terminationGracePeriodSeconds"] > 2 * worker.STOP_WITHIN_SECONDS
    api = named("api")
    shutdown = settings_of(api, monkeypatch, tmp_path).api.shutdown_seconds
    pause = api["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert grace["lockstep-api"]["terminationGracePeriodSeconds"] > pause + shutdown


def test_every_container_is_confined() -> None:
    for container, pod in containers():
        assert pod["securityContext"]["runAsUser"] == pod["securityContext"]["fsGroup"] == 10001
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["automountServiceAccountToken"] is False
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert {"cpu", "memory"} <= container["resources"]["requests"].keys()
        assert "memory" in container["resources"]["limits"]
        assert {mount["name"] for mount in container["volumeMounts"]} <= {volume["name"] for volume in pod["volumes"]}
        assert {"/tmp", "/var/lib/lockstep"} <= {mount["mountPath"] for mount in container["volumeMounts"]}


def test_every_selector_finds_pods() -> None:
    pods = [template["metadata"]["labels"] for template in templates()]
    pods.append({"strimzi.io/cluster": "lockstep-connect", "strimzi.io/kind": "KafkaConnect"})  # Strimzi's own labels
    looked_at = 0
    for manifest in manifests():
        for selector in selectors(manifest["spec"]) if "spec" in manifest else ():
            assert any(selects(selector, labels) for labels in pods), (manifest["metadata"], selector)
            looked_at += 1
    assert looked_at > 15


def test_the_network_lets_each_pod_reach_the_parts_that_its_settings_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for template in templates():
        labels = template["metadata"]["labels"]
        allowed = {
            port["port"]
            for policy in manifests()
            if policy["kind"] == "NetworkPolicy" and selects(policy["spec"]["podSelector"], labels)
            for rule in policy["spec"].get("egress", ())
            for port in rule["ports"]
        }
        with monkeypatch.context() as patch:
            settings = settings_of(template["spec"]["containers"][0], patch, tmp_path)
        addresses = [
            *settings.kafka.brokers.split(","),
            settings.postgres.dsn.get_secret_value().partition("/shop")[0],
            settings.qdrant.url,
        ]
        if labels["app.kubernetes.io/name"] != "lockstep-worker":
            addresses.append(settings.connect.url)
        assert {53, *(int(address.rpartition(":")[2]) for address in addresses)} <= allowed


def test_the_image_has_the_version_of_the_package() -> None:
    assert {container["image"] for container, _ in containers()} == {"lockstep"}
    (image,) = yaml.safe_load((BASE / "kustomization.yaml").read_text())["images"]
    assert image == {"name": "lockstep", "newTag": version("lockstep")}
