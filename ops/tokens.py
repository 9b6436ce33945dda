"""The tokens that callers of the API carry: a file that `lockstep tokens` writes and `lockstep serve` reads."""

import fcntl
import os
import re
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from ops.api.operation import LOCAL_CALLER, Scope
from schemas.errors import SettingsError

NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"

_PREFIX = "lockstep"  # so that a scanner of sources finds a token that was left in one
_SECRET_BYTES = 32
_TOKEN = re.compile(rf"{_PREFIX}_([0-9a-f]{{12}})_([A-Za-z0-9_-]{{43}})")


class Token(BaseModel):
    """What is kept of a token: enough to know it again, not enough to use it.

    `sha256` is a plain hash of the secret: 256 random bits cannot be guessed, however fast a guess is.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: Annotated[str, Field(pattern="^[0-9a-f]{12}$")]
    name: Annotated[str, Field(pattern=f"^{NAME}$")]
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    scopes: Annotated[frozenset[Scope], Field(min_length=1)]
    created_at: AwareDatetime
    expires_at: AwareDatetime | None = None

    def expired(self, now: datetime) -> bool:
        """Whether its time is over."""
        return self.expires_at is not None and now >= self.expires_at


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    version: Literal[1] = 1
    tokens: tuple[Token, ...] = ()


def read_tokens(path: Path) -> tuple[Token, ...] | None:
    """The tokens in a file, in the order they were created; None when there is no file.

    Raises:
        SettingsError: It cannot be read, or is not what `lockstep tokens` writes.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise SettingsError(
            f"cannot read the tokens in {path}: {error.strerror}", hint="run as the user who made them"
        ) from error
    try:
        tokens = _File.model_validate_json(data).tokens
    except ValidationError as error:
        place = ".".join(map(str, error.errors(include_url=False)[0]["loc"])) or "the whole"
        raise SettingsError(
            f"cannot read the tokens in {path}: {place} is not as `lockstep tokens` writes it",
            hint="bring the file back from a copy, or remove it and create the tokens anew",
        ) from error
    for what in ("id", "name"):
        if len({getattr(token, what) for token in tokens}) < len(tokens):
            raise SettingsError(f"cannot read the tokens in {path}: two have the same {what}", hint="remove one")
    return tokens


def create_token(
    path: Path, name: str, scopes: frozenset[Scope], *, now: datetime, expires_at: datetime | None = None
) -> str:
    """Add a token and give its text, which is kept nowhere.

    Raises:
        SettingsError: The name is taken or no name, or the file cannot be read or written.
    """
    if not re.fullmatch(NAME, name) or name == LOCAL_CALLER:
        raise SettingsError(
            f"cannot name a token {name!r}", hint=f"letters, digits and ._- (64 at most), but not {LOCAL_CALLER}"
        )
    identity, secret = secrets.token_hex(6), secrets.token_urlsafe(_SECRET_BYTES)
    token = Token(id=identity, name=name, sha256=digest(secret), scopes=scopes, created_at=now, expires_at=expires_at)
    with _locked(path) as target:
        tokens = read_tokens(target) or ()
        if any(other.name == name for other in tokens):
            raise SettingsError(f"there is a token {name} already", hint=f"lockstep tokens revoke {name}")
        _write(target, (*tokens, token))
    return f"{_PREFIX}_{identity}_{secret}"


def revoke_token(path: Path, name: str) -> int:
    """Remove a token; gives how many are left.

    Raises:
        SettingsError: There is none of this name, or the file cannot be read or written.
    """
    with _locked(path) as target:
        tokens = read_tokens(target) or ()
        left = tuple(token for token in tokens if token.name != name)
        if len(left) == len(tokens):
            raise SettingsError(f"there is no token {name}", hint="lockstep tokens list")
        _write(target, left)
    return len(left)


def split_token(text: str) -> tuple[str, str] | None:
    """A token's id and its secret; None for what cannot be a token."""
    match = _TOKEN.fullmatch(text)
    return (match[1], match[2]) if match else None


def digest(secret: str) -> str:
    """What is kept of a secret."""
    return sha256(secret.encode()).hexdigest()


@contextmanager
def _locked(path: Path) -> Iterator[Path]:
    """Hold the file's folder, so that two writers do not undo each other; gives the file that a link points at."""
    try:
        target = path.resolve()
        target.parent.mkdir(parents=True, exist_ok=True)
        folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            # The folder, because the file itself is replaced by each write.
            fcntl.flock(folder, fcntl.LOCK_EX)
            yield target
        finally:
            os.close(folder)
    except OSError as error:
        raise SettingsError(
            f"cannot write the tokens in {path}: {error.strerror}", hint="set LOCKSTEP_API_TOKENS_FILE"
        ) from error


def _write(target: Path, tokens: Sequence[Token]) -> None:
    """Replace the file as a whole: a reader sees the old one or the new one, also after a crash."""
    fresh = target.with_name(f".{target.name}.{secrets.token_hex(6)}")
    try:
        with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(_File(tokens=tuple(tokens)).model_dump_json(indent=2) + "\n")
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(target)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise
    folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
