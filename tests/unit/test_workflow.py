"""The workflow of the public CI: what it runs exists, and what it uses is pinned."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
WORKFLOW = ROOT / ".github" / "workflows" / "ci.yml"


@pytest.fixture(scope="module")
def workflow() -> dict[Any, Any]:
    return yaml.safe_load(WORKFLOW.read_text())


def steps(workflow: dict[Any, Any]) -> list[dict[str, Any]]:
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


def test_it_has_the_jobs_that_accept_a_change(workflow: dict[Any, Any]) -> None:
    assert list(workflow["jobs"]) == ["check", "test", "containers", "image"]


def test_every_action_is_pinned_by_its_commit_and_says_which_version_that_is() -> None:
    uses = [line for line in WORKFLOW.read_text().splitlines() if "uses:" in line]
    assert uses
    for line in uses:
        assert re.search(r"uses: [\w.-]+(/[\w.-]+)+@[0-9a-f]{40} # v\d+\.\d+\.\d+$", line), line


def test_it_may_only_read_and_every_job_ends(workflow: dict[Any, Any]) -> None:
    assert workflow["permissions"] == {"contents": "read"}
    for name, job in workflow["jobs"].items():
        assert "permissions" not in job, name
        assert job["timeout-minutes"] <= 60, name
    checkouts = [step for step in steps(workflow) if step.get("uses", "").startswith("actions/checkout@")]
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)


def test_what_it_runs_of_ours_exists(workflow: dict[Any, Any]) -> None:
    commands = "\n".join(step.get("run", "") for step in steps(workflow))
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^make ([\w-]+)$", commands, re.MULTILINE))
    assert {"check", "test"} <= targets
    for target in targets:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    for folder in re.findall(r"tests/\w+", commands):
        assert (ROOT / folder).is_dir(), folder
    for build_argument in re.findall(r"--build-arg (\w+)=", commands):
        assert re.search(rf"^ARG {build_argument}\b", (ROOT / "Dockerfile").read_text(), re.MULTILINE), build_argument
    for lock in re.findall(r"hashFiles\('([^']+)'\)", WORKFLOW.read_text()):
        assert (ROOT / lock).is_file(), lock


def test_it_runs_on_the_python_of_the_image(workflow: dict[Any, Any]) -> None:
    versions = {step["with"]["python-version"] for step in steps(workflow) if "setup-python" in step.get("uses", "")}
    assert re.findall(r"^FROM python:(\d+\.\d+)\.", (ROOT / "Dockerfile").read_text(), re.MULTILINE) == list(versions)


def test_it_is_a_workflow_by_the_schema() -> None:
    pytest.importorskip("check_jsonschema", reason="check-jsonschema, which has the schema, is not installed here")
    check = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.github-workflows", WORKFLOW]
    found = subprocess.run(check, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout + found.stderr


def test_actionlint_finds_nothing() -> None:
    actionlint = shutil.which("actionlint")
    if actionlint is None:
        pytest.skip("actionlint is not installed here")
    found = subprocess.run([actionlint, "-no-color", WORKFLOW], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout + found.stderr
