"""The settings of a running stack as environment variables: for its workers, and as `stack.env` for every command."""

import os
from collections.abc import Collection
from pathlib import Path

from dotenv import dotenv_values
from pydantic import BaseModel, SecretStr

from ops.devstack.home import write_private
from ops.settings import PREFIX, Settings, stack_env_file

VARIABLES = {
    "kafka": "LOCKSTEP_KAFKA_BROKERS",
    "connect": "LOCKSTEP_CONNECT_URL",
    "postgres": "LOCKSTEP_POSTGRES_DSN",
    "qdrant": "LOCKSTEP_QDRANT_URL",
}
"""The setting that names each service's address; given by a person, it takes the place of the service."""
WORKERS_VARIABLE = "LOCKSTEP_STATUS_WORKERS"


def given_services() -> frozenset[str]:
    """The services that a person named in the environment or in `.env`."""
    given = {name for name, value in dotenv_values(".env").items() if value}
    given |= {name for name, value in os.environ.items() if value}
    return frozenset(service for service, variable in VARIABLES.items() if variable in given)


def environment_of(settings: Settings) -> dict[str, str]:
    """Our environment with all of the settings in it, so that a program that starts with it reads the same."""
    environment = {name: value for name, value in os.environ.items() if not name.upper().startswith(PREFIX)}
    return environment | _variables(settings)


def write_stack_env(settings: Settings, home: Path, services: Collection[str]) -> None:
    """Write the addresses of the services that the stack runs, and of its workers' pages.

    It has a password, so only its owner may read it.
    """
    variables = _variables(settings)
    names = [VARIABLES[service] for service in VARIABLES if service in services]
    names += [WORKERS_VARIABLE] if settings.status.workers else []
    lines = [f"{name}='{variables[name]}'\n" for name in names]
    write_private(stack_env_file(home), "".join(lines).encode())


def _variables(settings: Settings) -> dict[str, str]:
    variables = {}
    for name in Settings.model_fields:
        value = getattr(settings, name)
        inner = {f"{name}_{key}": part for key, part in value} if isinstance(value, BaseModel) else {name: value}
        for key, part in inner.items():
            if part is not None:
                plain = part.get_secret_value() if isinstance(part, SecretStr) else part
                variables[f"{PREFIX}{key}".upper()] = str(plain)
    return variables
