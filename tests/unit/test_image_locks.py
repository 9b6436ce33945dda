"""The image's two locks: cut out of the project's one lock, with all that the image needs and no more."""

import re
import tomllib
from collections.abc import Iterable
from importlib.metadata import requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
RUNTIME, BUILD = "requirements-runtime.lock", "requirements-build.lock"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
DEPENDENCIES = PROJECT["project"]["dependencies"]
EXTRAS = PROJECT["project"]["optional-dependencies"]
RUNTIME_EXTRAS = ["registry"]
"""A schema registry is a setting of `topics apply`. The stack without Docker does not run in a container."""


def pins(lock: str) -> dict[str, str]:
    """A lock's entries by their first line, `name==version` and its marker, each with its hashes."""
    text = (ROOT / lock).read_text()
    entries = re.split(r"^(?=\S)", text, flags=re.MULTILINE)
    return {entry.partition(" \\\n")[0]: entry for entry in entries if entry}


def names_of(requirements: Iterable[str]) -> set[str]:
    return {canonicalize_name(Requirement(text).name) for text in requirements}


@pytest.mark.parametrize("lock", [RUNTIME, BUILD])
def test_the_images_locks_pin_what_the_one_lock_pins(lock: str) -> None:
    everything = pins("requirements.lock")
    for pin, entry in pins(lock).items():
        assert everything.get(pin) == entry, f"{pin} in {lock}: make the locks again, see CONTRIBUTING.md"


def test_the_runtimes_lock_holds_what_the_project_asks_for_and_nothing_else() -> None:
    # By what the packages installed here say of themselves, so for this platform only.
    asked = [*DEPENDENCIES, *(text for extra in RUNTIME_EXTRAS for text in EXTRAS[extra])]
    locked = map(Requirement, pins(RUNTIME))
    assert {canonicalize_name(pin.name) for pin in locked if holds(pin)} == with_all_below(asked)


def holds(requirement: Requirement, extra: str = "") -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"extra": extra})


def with_all_below(asked: list[str]) -> set[str]:
    """The names of the packages, of those that they ask for, and so on."""
    waiting = [Requirement(text) for text in asked]
    seen: set[tuple[str, str]] = set()
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        for extra in {"", *requirement.extras}:
            if (name, extra) not in seen:
                seen.add((name, extra))
                waiting += [inner for inner in map(Requirement, requires(name) or []) if holds(inner, extra)]
    return {name for name, _ in seen}


def test_the_builds_lock_holds_the_build_backend() -> None:
    assert names_of(PROJECT["build-system"]["requires"]) <= names_of(pins(BUILD))


@pytest.mark.parametrize("lock", [RUNTIME, BUILD])
def test_a_lock_names_no_place(lock: str) -> None:
    assert "://" not in (ROOT / lock).read_text()
