"""The image: its Dockerfile, and what it is built from."""

import json
import re
import shutil
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest

from ops.settings import ApiSettings, WorkerSettings, variable_names

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def instructions(name: str) -> list[str]:
    """The arguments of an instruction, each on one line."""
    joined = re.sub(r"\\\n(\s*#.*\n)*\s*", "", DOCKERFILE)
    return re.findall(rf"^{name} (.*)$", joined, re.MULTILINE)


def last_stage() -> str:
    return DOCKERFILE[DOCKERFILE.rindex("\nFROM ") :]


# The Dockerfile


def test_every_stage_stands_on_one_base_image_of_an_exact_version() -> None:
    bases = [base.split()[0] for base in instructions("FROM")]
    stages = [stage.split(" AS ")[1] for stage in instructions("FROM") if " AS " in stage]
    outside = [base for base in bases if base not in stages]
    assert outside == [bases[0]]
    assert re.fullmatch(r"python:\d+\.\d+\.\d+-slim-[a-z]+", bases[0])


def test_nothing_runs_as_root_and_the_user_is_a_number() -> None:
    # Kubernetes can tell that a user is not root by its number only.
    assert re.findall(r"^USER (.*)$", last_stage(), re.MULTILINE) == ["10001:10001"]
    assert last_stage().index("USER ") > last_stage().rindex("RUN ")


def test_the_command_is_the_first_process_and_gets_the_signals() -> None:
    for name in ("ENTRYPOINT", "CMD"):
        (value,) = instructions(name)
        assert json.loads(value), name
    assert json.loads(instructions("ENTRYPOINT")[0]) == list(PROJECT["project"]["scripts"])
    assert instructions("STOPSIGNAL") == ["SIGINT"]  # SIGTERM is lost until the worker has started


def test_only_known_settings_are_set() -> None:
    ours = set(re.findall(r"\bLOCKSTEP_\w+", DOCKERFILE))
    assert ours
    assert ours <= set(variable_names())


def test_the_ports_and_the_version_are_those_of_the_project() -> None:
    ports = {WorkerSettings().web_port, ApiSettings().port}
    assert {int(port) for port in instructions("EXPOSE")[0].split()} == ports
    assert f"ARG VERSION={PROJECT['project']['version']}\n" in DOCKERFILE
    for name in ("title", "description", "licenses", "version", "revision"):
        assert f"org.opencontainers.image.{name}=" in DOCKERFILE
    assert PROJECT["project"]["description"] in DOCKERFILE


def test_packages_come_from_locks_with_hashes_and_run_nothing_when_they_are_installed() -> None:
    installs = re.findall(r"pip (?:--python \S+ )?install ([^&\n]*)", "\n".join(instructions("RUN")))
    assert len(installs) == 3
    for options in installs:
        # What is not fetched is the wheel of this very checkout.
        assert "--no-deps" in options or ("--require-hashes" in options and "--only-binary :all:" in options)


def test_hadolint_finds_nothing() -> None:
    hadolint = shutil.which("hadolint") or shutil.which("hadolint", path=Path(sys.executable).parent)
    if hadolint is None:
        pytest.skip("hadolint is not installed here")
    found = subprocess.run([hadolint, ROOT / "Dockerfile"], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout + found.stderr


# What it is built from


def is_sent_to_the_builder(path: str) -> bool:
    """By `.dockerignore`: the last line that holds for the path, or for a folder that it lies in, decides."""
    sent = True
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        pattern = line.removeprefix("!").removeprefix("**/")
        tails = [path] if "**/" not in line else ["/".join(path.split("/")[at:]) for at in range(path.count("/") + 1)]
        if any(fnmatch(tail, pattern) or tail.startswith(f"{pattern}/") for tail in tails):
            sent = line.startswith("!")
    return sent


def copied() -> list[str]:
    """What the Dockerfile copies out of the checkout."""
    return [source for copy in instructions("COPY") if "--from" not in copy for source in copy.split()[:-1]]


def test_all_that_is_copied_exists_and_is_sent_and_all_packages_are_copied() -> None:
    for source in copied():
        assert (ROOT / source).exists(), source
        assert is_sent_to_the_builder(source), source
    assert set(PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]) <= set(copied())


@pytest.mark.parametrize(
    "path",
    [
        ".env",
        ".env.example",
        ".git/config",
        ".venv/bin/python",
        ".lockstep/stack.env",
        ".lockstep/tokens.json",
        "tests/conftest.py",
        "ops/__pycache__/cli.cpython-311.pyc",
        "ops/compose/anything",
        "ops/deploy/secret.yaml",
        "docker-compose.yml",
    ],
)
def test_what_does_not_belong_into_an_image_is_not_sent(path: str) -> None:
    assert not is_sent_to_the_builder(path)


def test_nothing_is_sent_that_is_not_copied() -> None:
    for entry in ROOT.iterdir():
        if is_sent_to_the_builder(entry.name):
            assert entry.name in copied(), entry.name
