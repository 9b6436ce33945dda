"""The Docker engine: whether it answers, what it must have, and what this run leaves behind in it."""

from collections.abc import Callable, Iterable
from functools import cache

import docker
from docker.errors import DockerException, ImageNotFound
from testcontainers.core.config import testcontainers_config
from testcontainers.core.docker_client import DockerClient
from testcontainers.core.labels import LABEL_SESSION_ID, SESSION_ID
from testcontainers.core.network import Network


class EngineError(Exception):
    """The engine does not answer, or cannot have an image."""


@cache
def engine() -> docker.DockerClient:
    """The engine that the machine's Docker settings name; one connection for the whole run."""
    return DockerClient().client


def engine_version() -> str:
    """The version of the engine."""
    version: str = engine().version()["Version"]
    return version


def pull_missing(images: Iterable[str], say: Callable[[str], None]) -> None:
    """Pull what the engine has not, before the first test: a download may take longer than a test is given.

    Ryuk's image comes with them, unless `TESTCONTAINERS_RYUK_DISABLED` is set.

    Raises:
        EngineError: No engine answers, or an image cannot be had.
    """
    ryuk = () if testcontainers_config.ryuk_disabled else (testcontainers_config.ryuk_image,)
    try:
        missing = [image for image in (*images, *ryuk) if not _has(image)]
    except DockerException as error:
        raise EngineError(f"no Docker engine answers: {error}") from error
    for image in missing:
        say(f"pulling {image}")
        try:
            engine().images.pull(image)
        except DockerException as error:
            raise EngineError(f"{image} cannot be pulled: {error}") from error


def _has(image: str) -> bool:
    try:
        engine().images.get(image)
    except ImageNotFound:
        return False
    return True


def network_named(name: str) -> Network:
    """A network, as testcontainers wants it; it may not exist yet."""
    network = Network()
    network.name = name  # else a random one, under which no other object would find it
    return network


def make_network(name: str) -> None:
    """Make it, unless it is there."""
    if not engine().networks.list(names=[name]):
        network_named(name).create()


def remove_network(name: str) -> None:
    """Remove it, if it is there."""
    for network in engine().networks.list(names=[name]):
        network.remove()


def remove_what_is_left() -> None:
    """Remove every container and network of this run, however its tests ended.

    If the run itself is killed, Ryuk does it: the container that testcontainers starts before the first.
    """
    ours = {"label": f"{LABEL_SESSION_ID}={SESSION_ID}"}
    for container in engine().containers.list(all=True, filters=ours):
        container.remove(force=True, v=True)
    for network in engine().networks.list(filters=ours):
        network.remove()
