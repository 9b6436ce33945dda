"""What a person sees: results on stdout, everything else on stderr, 80 columns wide."""

import re
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


_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


def harmless(text: str) -> str:
    """What a record holds may be orders for a terminal: control characters are written out."""
    return _CONTROLS.sub(lambda match: f"\\x{ord(match[0]):02x}", text)


def print_json(value: Any) -> None:
    """One JSON document on stdout, for other programs."""
    sys.stdout.write(orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE).decode())


def print_error(error: LockstepError) -> None:
    """The error as a sentence, and what to do about it."""
    err.print("[red]Error:[/red]", end=" ")
    err.print(str(error), soft_wrap=True, markup=False)
    if error.hint:
        err.print(f"Try: {error.hint}", soft_wrap=True, markup=False)
