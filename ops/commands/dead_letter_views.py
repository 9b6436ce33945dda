"""How dead letters look: in 80 columns for people, and as JSON for programs."""

from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import orjson
from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ops.dead_letters import FoundLetter, Refused, key_text
from ops.terminal import harmless
from schemas.product import time_text
from schemas.record import Place, Record

if TYPE_CHECKING:
    from ops.dead_letter_retry import RetryPlan, RowResult

SHOWN_BYTES = 16 * 1024
"""Of a value that is shown to a person; `--raw` writes it whole."""
_MESSAGE_CHARACTERS = 200


def counted(number: int, noun: str) -> str:
    """`1 row`, `2 rows`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def table(letters: Sequence[FoundLetter]) -> Table:
    """One letter a row, of two lines or more."""
    rows = Table(box=None, pad_edge=False)
    rows.add_column("place, set aside at", overflow="fold")
    rows.add_column("key, reason", overflow="fold", ratio=1)
    for found in letters:
        letter = found.letter
        what = Text(_key(letter.record), style="bold", end="")
        error_class = harmless(letter.error_class)
        what.append(f"  {error_class}, {counted(letter.attempts, 'attempt')}", style="not bold")
        if found.resolution:
            what.append(f"  {_resolved(found)}", style="not bold dim")
        what.append(f"\n{harmless(_short(letter.error, found))}", style="not bold dim")
        rows.add_row(Text(f"{_place(found.place)}\n{_time(found)}"), what)
    return rows


def whole(found: FoundLetter) -> Iterator[RenderableType]:
    """Everything about one letter."""
    letter, record = found.letter, found.letter.record
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="dim", overflow="fold")
    facts.add_column(overflow="fold")
    size = "none: a tombstone" if found.value_bytes is None else counted(found.value_bytes, "byte")
    for name, value in (
        ("place", _place(found.place)),
        ("key", _key(record)),
        ("error", harmless(letter.error_class)),
        ("message", harmless(letter.error)),
        ("attempts", f"{letter.attempts}"),
        ("set aside", _time(found)),
        ("stands at", str(found.stands_at)),
        ("state", _resolved(found) or "open"),
        *((f"header {harmless(name)}", _text(value)) for name, value in record.headers),
        ("key bytes", "none" if record.key is None else _text(record.key)),
        ("value", size),
    ):
        facts.add_row(Text(name), Text(value))
    yield facts
    if record.value is not None:
        yield Padding(Text(_pretty(record.value)), (1, 0, 0, 0))


def outcomes(plan: "RetryPlan", results: "Mapping[str, RowResult]") -> Table:
    """One letter a row, with what became of it."""
    rows = Table(box=None, pad_edge=False)
    rows.add_column("place", overflow="fold")
    rows.add_column("key, outcome", overflow="fold", ratio=1)
    for key, letters in plan.rows.items():
        result = results[key]
        what = Text(harmless(key), style="bold", end="")
        what.append(f"  {result.outcome}", style=f"not bold {'green' if result.outcome.is_right else 'red'}")
        if result.place:
            what.append(f"\nat {_place(result.place)}", style="not bold")
        for found in letters:
            rows.add_row(Text(_place(found.place)), what)
    return rows


def outcome_as_dict(found: FoundLetter, key: str, result: "RowResult | None") -> dict[str, Any]:
    """A letter that was retried, or would be."""
    return {
        "place": str(found.place),
        "key": key,
        "outcome": result.outcome if result else None,
        "set_aside_again_at": str(result.place) if result and result.place else None,
    }


def as_dict(found: FoundLetter) -> dict[str, Any]:
    """A letter without its value."""
    letter, resolution = found.letter, found.resolution
    return {
        "place": str(found.place),
        "key": key_text(letter.record),
        "error_class": letter.error_class,
        "error": letter.error,
        "attempts": letter.attempts,
        "set_aside_at": time_text(letter.set_aside_at),
        "stands_at": str(found.stands_at),
        "value_bytes": found.value_bytes,
        "state": found.state,
        "resolved_at": time_text(resolution.resolved_at) if resolution else None,
        "reason": resolution.reason if resolution else None,
    }


def original(record: Record) -> dict[str, Any]:
    """The record as it was: bytes in base64, since they may be no text."""
    return {
        "key_base64": _base64(record.key),
        "value_base64": _base64(record.value),
        "headers_base64": [[name, _base64(value)] for name, value in record.headers],
    }


def refusals(refused: Sequence[Refused]) -> list[dict[str, str]]:
    """Places for which nothing is done."""
    return [{"place": str(each.place), "reason": each.reason} for each in refused]


def _key(record: Record) -> str:
    return harmless(key_text(record) or "") or ("(no key)" if record.key is None else "(empty key)")


def _place(place: Place) -> str:
    return harmless(str(place))  # a header said it


def _time(found: FoundLetter) -> str:
    return f"{found.letter.set_aside_at:%Y-%m-%d %H:%M:%SZ}"


def _resolved(found: FoundLetter) -> str:
    resolution = found.resolution
    if resolution is None:
        return ""
    reason = f": {resolution.reason}" if resolution.reason else ""
    return f"{resolution.by} {resolution.resolved_at:%Y-%m-%d %H:%M:%SZ}{harmless(reason)}"


def _short(error: str, found: FoundLetter) -> str:
    """The message without the place, which stands beside it."""
    text = error.removesuffix(f" at {found.place}")
    return text if len(text) <= _MESSAGE_CHARACTERS else f"{text[:_MESSAGE_CHARACTERS]}…"


def _pretty(value: bytes) -> str:
    """JSON with its indents where it is JSON, else as near to a text as it comes."""
    try:
        text = harmless(orjson.dumps(orjson.loads(value), option=orjson.OPT_INDENT_2).decode())
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):  # the latter of what is nested too deep
        text = _text(value)
    return text if len(text) <= SHOWN_BYTES else f"{text[:SHOWN_BYTES]}\n… (whole with --raw)"


def _text(data: bytes) -> str:
    return harmless(data.decode(errors="backslashreplace"))


def _base64(data: bytes | None) -> str | None:
    return None if data is None else b64encode(data).decode()
