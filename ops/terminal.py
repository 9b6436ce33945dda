"""What a person sees: results on stdout, everything else on stderr, 80 columns wide."""

import sys
from typing import Any

import orjson
from rich.console import Console

from schemas.errors import LockstepError

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


def print_json(value: Any) -> None:
    """One JSON document on stdout, for other programs."""
    sys.stdout.write(orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE).decode())


def print_error(error: LockstepError) -> None:
    """The error as a sentence, and what to do about it."""
    err.print("[red]Error:[/red]", end=" ")
    err.print(str(error), soft_wrap=True, markup=False)
    if error.hint:
        err.print(f"Try: {error.hint}", soft_wrap=True, markup=False)
