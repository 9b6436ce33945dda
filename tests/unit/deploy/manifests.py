"""The manifests under `ops/deploy/`, and what the tests ask of them."""

from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from dotenv import dotenv_values

from ops.settings import Settings, load_settings

Manifest = dict[str, Any]

ROOT = Path(__file__).parents[3]
DEPLOY = ROOT / "ops" / "deploy"
BASE = DEPLOY / "base"
EXAMPLE = DEPLOY / "overlays" / "example"
NOT_APPLIED = {DEPLOY / "components" / "autoscaling" / "prometheus-adapter.yaml"}
OLDEST, NEWEST = "1.31", "1.37"
OF_OPERATORS = {"PodMonitor", "ServiceMonitor", "PrometheusRule", "KafkaConnect", "KafkaConnector"}
"""Kinds whose schemas no package has; docs/kubernetes.md says how they were checked."""


def folders() -> list[Path]:
    return sorted(path.parent for path in DEPLOY.rglob("kustomization.yaml"))


@cache
def manifests() -> tuple[Manifest, ...]:
    """Every resource that a kustomization lists, as it stands in its file."""
    found: list[Manifest] = []
    for folder in folders():
        for name in yaml.safe_load((folder / "kustomization.yaml").read_text())["resources"]:
            if (folder / name).is_file():
                found += [document for document in yaml.safe_load_all((folder / name).read_text()) if document]
    return tuple(found)


def one(kind: str, name: str) -> Manifest:
    (found,) = [each for each in manifests() if (each["kind"], each["metadata"]["name"]) == (kind, name)]
    return found


def templates() -> list[Manifest]:
    return [each["spec"]["template"] for each in manifests() if each["kind"] in ("StatefulSet", "Deployment", "Job")]


def containers() -> list[tuple[Manifest, Manifest]]:
    """Each container with its pod."""
    pods = [template["spec"] for template in templates()]
    return [(container, pod) for pod in pods for container in (*pod.get("initContainers", ()), *pod["containers"])]


def named(name: str) -> Manifest:
    (found,) = [container for container, _ in containers() if container["name"] == name]
    return found


def environment(container: Manifest, pod_name: str = "lockstep-worker-0") -> dict[str, str]:
    """What the process would see, with the base's settings and the example's secrets."""
    files = {"configMapRef": BASE / "settings.env", "secretRef": EXAMPLE / "secrets.env"}
    seen: dict[str, str] = {}
    for source in container["envFrom"]:
        (kind,) = source
        seen |= {name: value or "" for name, value in dotenv_values(files[kind]).items()}
    for entry in container.get("env", ()):
        seen[entry["name"]] = entry.get("value", pod_name)
    return seen


def settings_of(container: Manifest, monkeypatch: pytest.MonkeyPatch, cwd: Path) -> Settings:
    """What the program makes of its environment."""
    monkeypatch.chdir(cwd)  # no .env there
    for name, value in environment(container).items():
        monkeypatch.setenv(name, value)
    return load_settings()


def assert_valid(documents: Iterable[Manifest]) -> None:
    for document in documents:
        if document["kind"] not in OF_OPERATORS:
            for release in (OLDEST, NEWEST):
                kubernetes_validate.validate(document, release, strict=True)


def selectors(value: Any) -> Iterator[Manifest]:
    """Every selector of pods within a manifest's spec."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key in ("podSelector", "labelSelector") or (key == "selector" and "matchLabels" in inner):
                yield inner
            elif key == "selector":
                yield {"matchLabels": inner}
            else:
                yield from selectors(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from selectors(inner)


def selects(selector: Manifest, labels: dict[str, str]) -> bool:
    return all(labels.get(key) == value for key, value in selector.get("matchLabels", {}).items()) and all(
        labels.get(expression["key"]) in expression["values"] for expression in selector.get("matchExpressions", ())
    )
