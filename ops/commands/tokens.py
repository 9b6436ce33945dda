"""`lockstep tokens`: who may call the HTTP API, and what for."""

import re
import sys
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer
from rich.table import Table

from ops.api.operation import Scope
from ops.settings import load_settings
from ops.terminal import err, out, print_json
from ops.tokens import Token, create_token, read_tokens, revoke_token

_LIFETIME = re.compile(r"([1-9]\d{0,4})([mhd])", re.ASCII)
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}

Name = Annotated[str, typer.Argument(help="Who carries it, as the log will name them.", show_default=False)]


def register(app: typer.Typer) -> None:
    """Add the group."""
    group = typer.Typer(no_args_is_help=True, help="The tokens that callers of the HTTP API carry.")
    group.command(no_args_is_help=True)(create)
    group.command("list")(list_)
    group.command(no_args_is_help=True)(revoke)
    app.add_typer(group, name="tokens")


def create(
    name: Name,
    scope: Annotated[list[Scope], typer.Option("--scope", help="What it allows; may be given several times.")],
    expires: Annotated[
        str | None, typer.Option("--expires", help="How long it lives: 90d, 12h, 30m. Left out: until it is revoked.")
    ] = None,
) -> None:
    """Create a token and print it, once: only its hash is kept.

    A running server knows it at once. The first token ends the free access from the server's own machine.

    Example: lockstep tokens create back-office --scope search --scope write --expires 90d
    """
    now = datetime.now(UTC)
    expires_at = None if expires is None else now + _lifetime(expires)
    token = create_token(load_settings().tokens_file, name, frozenset(scope), now=now, expires_at=expires_at)
    err.print("keep it now, it is not shown again:")
    sys.stdout.write(f"{token}\n")


def list_(json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Every token, without what would let one use it.

    Example: lockstep tokens list
    """
    path = load_settings().tokens_file
    tokens = read_tokens(path)
    now = datetime.now(UTC)
    if json:
        print_json([_as_json(token, now) for token in tokens or ()])
        return
    if tokens is None:
        out.print("no tokens: the API answers callers on its own machine, and nobody else", soft_wrap=True)
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("Name", "Scopes", "Created", "Expires"):
        table.add_column(heading, overflow="fold")
    for token in tokens:
        expires = f"{token.expires_at:%Y-%m-%d %H:%M}" if token.expires_at else "never"
        table.add_row(
            token.name,
            ", ".join(sorted(token.scopes)),
            f"{token.created_at:%Y-%m-%d %H:%M}",
            "expired" if token.expired(now) else expires,
        )
    out.print(table)


def revoke(name: Name) -> None:
    """Remove a token; a running server refuses it from the next request on.

    Example: lockstep tokens revoke back-office
    """
    path = load_settings().tokens_file
    left = revoke_token(path, name)
    out.print(f"revoked {name}", markup=False)
    if left == 0:
        err.print(f"no token is left, so nobody may call; free access comes back without {path}", soft_wrap=True)


def _lifetime(text: str) -> timedelta:
    match = _LIFETIME.fullmatch(text)
    if match is None:
        raise typer.BadParameter(f"{text!r}: write 90d, 12h or 30m", param_hint="--expires")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


def _as_json(token: Token, now: datetime) -> dict[str, object]:
    return {
        "id": token.id,
        "name": token.name,
        "scopes": sorted(token.scopes),
        "created_at": token.created_at.isoformat(),
        "expires_at": token.expires_at.isoformat() if token.expires_at else None,
        "expired": token.expired(now),
    }
