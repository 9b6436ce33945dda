"""What `docker-compose.yml` says of each server: tests run what users run."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

COMPOSE_FILE = Path(__file__).parents[2] / "docker-compose.yml"
COMPOSE_NAMES = {"kafka": "redpanda", "connect": "connect", "postgres": "postgres", "qdrant": "qdrant"}
"""How compose calls the stack's servers; by these names they find one another, too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ComposeService:
    """`environment` is without what compose takes from `.env`; `files` gives the content of each path."""

    image: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    files: Mapping[str, Path]


def compose_service(name: str) -> ComposeService:
    """The service that plays the part of one of the stack's servers: kafka, connect, postgres or qdrant."""
    compose = _compose()
    service = compose["services"][COMPOSE_NAMES[name]]
    environment = {variable: str(value) for variable, value in service.get("environment", {}).items()}
    return ComposeService(
        image=service["image"],
        command=tuple(str(part) for part in service.get("command", ())),
        environment={variable: value for variable, value in environment.items() if "${" not in value},
        files={
            config["target"]: COMPOSE_FILE.parent / compose["configs"][config["source"]]["file"]
            for config in service.get("configs", ())
        },
    )


def images() -> tuple[str, ...]:
    """Those of all four."""
    return tuple(compose_service(name).image for name in COMPOSE_NAMES)


@cache
def _compose() -> dict[str, Any]:
    compose: dict[str, Any] = yaml.safe_load(COMPOSE_FILE.read_text(encoding="utf-8"))
    return compose
