"""What a person sees: results on stdout, everything else on stderr, 80 columns wide."""

import sys
from enum import IntEnum
from typing import Any

import orjson
from rich.console import Console

from schemas.errors import LockstepError


class ExitCode(IntEnum):
    """What a command tells its caller."""

    DONE = 0
    FOUND_WRONG = 1
    """It ran, and found something wrong: drift, an unhealthy part."""
    USAGE = 2
    UNREACHABLE = 3
    """A part that it needs cannot be reached or started."""
    INTERRUPTED = 130


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
