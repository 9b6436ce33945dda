"""Which stack the tests run on: the one without Docker, or containers where `LOCKSTEP_TEST_STACK` asks for them."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ops.devstack.stack import Stack
from ops.settings import Settings

VARIABLE = "LOCKSTEP_TEST_STACK"
CONTAINERS = "containers"


# Read once: the tests' environment is cleaned of our variables.
ASKED_FOR = os.environ.get(VARIABLE, "")
USES_CONTAINERS = ASKED_FOR == CONTAINERS


def make_stack(settings: Settings, home: Path, **options: Any) -> Stack:
    """A stack of the kind that this run uses, on free ports; the options are those of `Stack`."""
    return stack_class()(settings, home, usual_ports=False, **options)


def stack_class() -> type[Stack]:
    """The kind of stack that this run uses."""
    if not USES_CONTAINERS:
        return Stack
    # Here, so that a run without Docker needs none of its libraries.
    from tests.containers.stack import ContainerStack

    return ContainerStack


def not_in_containers(reason: str) -> pytest.MarkDecorator:
    """Skip a test of what a container cannot show."""
    return pytest.mark.skipif(USES_CONTAINERS, reason=f"in containers: {reason}")


def header() -> str:
    """The line of pytest's header that says which stack is used."""
    if not USES_CONTAINERS:
        return f"stack: without Docker; {VARIABLE}={CONTAINERS} uses containers"
    from tests.containers.engine import engine_version
    from tests.containers.images import images

    return f"stack: containers on Docker {engine_version()}: {', '.join(images())}"


def prepare(say: Callable[[str], None]) -> None:
    """Have the images, where containers are asked for.

    Raises:
        pytest.UsageError: There can be no containers: the run ends at once, with the reason.
    """
    if ASKED_FOR not in ("", CONTAINERS):
        raise pytest.UsageError(f"{VARIABLE} is {ASKED_FOR!r}: set it to {CONTAINERS!r}, or leave it out")
    if not USES_CONTAINERS:
        return
    try:
        from tests.containers.engine import EngineError, pull_missing
    except ModuleNotFoundError as error:
        raise pytest.UsageError(f"{VARIABLE}={CONTAINERS}, but {error.name} is not installed") from error
    from tests.containers.images import images

    try:
        pull_missing(images(), say)
    except EngineError as error:
        raise pytest.UsageError(f"{VARIABLE}={CONTAINERS}, but {error}") from error


def clean_up() -> None:
    """Leave nothing in the engine."""
    if USES_CONTAINERS:
        from tests.containers.engine import remove_what_is_left

        remove_what_is_left()
