"""The stack's directory: where each service's data, logs and pid files lie, and how its passwords are kept."""

import os
import secrets
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

import orjson

from schemas.errors import StackError

_OURS = ("run", "logs", "kafka", "connect", "postgres", "qdrant", "workers")
_OUR_FILES = ("ports.json", "passwords.json", "stack.env", "postgres.elsewhere")


@dataclass(frozen=True, slots=True, kw_only=True)
class Passwords:
    """Made up once for a stack: Postgres' superuser, and the two roles of roles.sql."""

    postgres: str
    debezium: str
    lockstep: str


class StackHome:
    """One stack's directory. Everything in it belongs to the user who first ran `lockstep up`."""

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        self.logs = self.path / "logs"
        self.run = self.path / "run"
        self.ports_file = self.path / "ports.json"

    def make(self) -> None:
        """Create the directories.

        Raises:
            StackError: They cannot be made, or belong to somebody else.
        """
        try:
            for directory in (self.path, self.logs, self.run):
                directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StackError(f"cannot make {error.filename}: {error.strerror}", hint="set LOCKSTEP_HOME") from error
        for directory in (self.path, self.logs, self.run):
            if not os.access(directory, os.W_OK | os.X_OK):
                raise StackError(
                    f"cannot write to {directory}, which belongs to {_owner(directory)}",
                    hint="run lockstep as that user, or set LOCKSTEP_HOME to a directory of your own",
                )

    def passwords(self) -> Passwords:
        """The stack's passwords, made up at the first call."""
        path = self.path / "passwords.json"
        try:
            return Passwords(**orjson.loads(path.read_bytes()))
        except FileNotFoundError:
            made = Passwords(**{role: secrets.token_urlsafe(18) for role in ("postgres", "debezium", "lockstep")})
            write_private(path, orjson.dumps(asdict(made)))
            return made
        except PermissionError as error:
            raise StackError(
                f"cannot read {path}, which belongs to {_owner(path)}", hint="run lockstep as that user"
            ) from error

    def wipe(self) -> None:
        """Remove what the stack made, and nothing else: reports stay."""
        try:
            for name in _OURS:
                if (self.path / name).exists():
                    shutil.rmtree(self.path / name)
            for name in _OUR_FILES:
                (self.path / name).unlink(missing_ok=True)
        except OSError as error:
            raise StackError(f"cannot remove {error.filename}: {error.strerror}") from error


def write_private(path: Path, content: bytes) -> None:
    """Replace a file at once by one that only its owner may read."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
    draft.replace(path)


def _owner(path: Path) -> str:
    try:
        return path.owner()
    except KeyError:
        return f"user {path.stat().st_uid}"
