"""What `lockstep dead-letters` prints in 80 columns, and what it refuses."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import typer
from rich.console import Console, RenderableType
from typer.testing import CliRunner

from ops.commands import dead_letter_views as views
from ops.commands import dead_letters
from ops.commands.dead_letters import parse_time
from ops.dead_letter_retry import Outcome, RetryPlan, RowResult
from ops.dead_letters import Collector, FoundLetter, Selection
from schemas.dead_letter import DeadLetter, Resolution, ResolvedBy
from schemas.record import Place, Record

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
PLACE = Place(topic="pgserver.public.products", partition=0, offset=123_456)
runner = CliRunner()


@pytest.fixture
def app() -> typer.Typer:
    app = typer.Typer()
    dead_letters.register(app)
    return app


def found(value: bytes | None = b"{", key: bytes | None = b'{"article_id":"0108775015"}') -> FoundLetter:
    record = Record(place=PLACE, key=key, value=value, headers=(("__lsn", b"17"),))
    error = f"cannot decode change: value is not JSON at {PLACE}"
    return FoundLetter(
        letter=DeadLetter(record=record, error_class="DecodeError", error=error, attempts=1, set_aside_at=NOW),
        stands_at=Place(topic="products.dead-letters.v1", partition=0, offset=3),
        value_bytes=None if value is None else len(value),
    )


def printed(*parts: RenderableType) -> str:
    console = Console(width=80, highlight=False, color_system=None)
    with console.capture() as capture:
        for part in parts:
            console.print(part)
    text = capture.get()
    assert all(len(line) <= 80 for line in text.splitlines())
    return text


def test_the_list_keeps_each_place_on_one_line() -> None:
    lines = [line.split() for line in printed(views.table([found()])).splitlines()]
    assert lines[1] == ["pgserver.public.products[0]@123456", "0108775015", "DecodeError,", "1", "attempt"]
    assert lines[2] == ["2026-11-20", "12:00:00Z", "cannot", "decode", "change:", "value", "is", "not", "JSON"]


def test_show_prints_json_with_indents_and_headers() -> None:
    text = printed(*views.whole(found(b'{"a":{"b":[1]}}')))
    assert '  "a": {\n    "b": [' in "\n".join(line.rstrip() for line in text.splitlines())
    assert "header __lsn  17" in text


@pytest.mark.parametrize(
    ("value", "shown"),
    [(b"plain [bold]", "plain [bold]"), (b"\xff\xfe", "\\xff\\xfe"), (None, "none: a tombstone"), (b"", "0 bytes")],
)
def test_show_prints_what_is_no_json_as_it_is(value: bytes | None, shown: str) -> None:
    assert shown in printed(*views.whole(found(value)))


def test_poison_cannot_give_orders_to_the_terminal() -> None:
    poison = found(b"\x1b[31mred\x9b", key=b"\x1b]0;title\x07")
    text = printed(views.table([poison]), *views.whole(poison))
    assert "\x1b" not in text
    assert "\x07" not in text
    assert "\\x1b[31mred" in text


def test_a_header_is_neither_markup_nor_an_order_to_the_terminal() -> None:
    hostile = replace(found().letter.record, headers=(("[/bold]", b"1"), ("\x1b[31m\x9b", b"2"), ("n" * 300, b"3")))
    letter = replace(found().letter, record=hostile, error_class="\x1b]0;title\x07")
    text = printed(views.table([replace(found(), letter=letter)]), *views.whole(replace(found(), letter=letter)))
    assert "header [/bold]" in text
    assert "header \\x1b[31m\\x9b" in text
    assert not set(text) & {"\x1b", "\x9b", "\x07"}


def test_a_value_of_json_gives_no_orders_to_the_terminal_either() -> None:
    text = printed(*views.whole(found('{"name":"\x9b31mred\x85"}'.encode())))
    assert not set(text) & {"\x9b", "\x85"}
    assert '"name": "\\x9b31mred\\x85"' in text


def test_json_that_is_nested_too_deep_is_shown_as_it_is() -> None:
    deep = b"[" * 300 + b"]" * 300
    assert "[[[[" in printed(*views.whole(found(deep)))


def test_a_resolved_letter_says_how_and_why() -> None:
    letter = found()
    resolution = Resolution(
        place=PLACE, set_aside_at=NOW, by=ResolvedBy.DISCARDED, resolved_at=NOW, reason="a test record"
    )
    resolved = FoundLetter(
        letter=letter.letter, stands_at=letter.stands_at, value_bytes=letter.value_bytes, resolution=resolution
    )
    assert "discarded 2026-11-20 12:00:00Z: a test record" in printed(*views.whole(resolved))
    assert views.as_dict(resolved)["state"] == "discarded"


def test_outcomes_name_the_new_place() -> None:
    plan = RetryPlan(rows={"A": [found()]}, refused=())
    again = RowResult(outcome=Outcome.SET_ASIDE_AGAIN, place=PLACE)
    lines = [line.split() for line in printed(views.outcomes(plan, {"A": again})).splitlines()]
    assert lines[1:] == [[str(PLACE), "A", "set", "aside", "again"], ["at", str(PLACE)]]


def test_a_key_of_a_tombstone_is_told_from_none() -> None:
    assert views.as_dict(found(key=None))["key"] is None
    assert "(no key)" in printed(views.table([found(key=None)]))
    assert views.original(found(None, key=None).letter.record)["value_base64"] is None


TIMES = {
    "age": ("2h", NOW - timedelta(hours=2)),
    "days": ("3d", NOW - timedelta(days=3)),
    "UTC where no zone is said": ("2026-11-20T10:00", datetime(2026, 11, 20, 10, tzinfo=UTC)),
    "zone": ("2026-11-20T10:00:00+02:00", datetime(2026, 11, 20, 8, tzinfo=UTC)),
    "day": ("2026-11-20", datetime(2026, 11, 20, tzinfo=UTC)),
}


@pytest.mark.parametrize(("text", "moment"), TIMES.values(), ids=TIMES)
def test_a_time_or_an_age_is_read(text: str, moment: datetime) -> None:
    assert parse_time(text, NOW, "--since") == moment


@pytest.mark.parametrize(
    "arguments",
    [
        ["show", "products"],
        ["show", "products[x]@1"],
        ["retry"],
        ["discard"],
        ["discard", "--reason", "because"],
        ["list", "--since", "yesterday"],
        ["retry", "--until", "999999d"],
    ],
    ids=" ".join,
)
def test_wrong_use_is_a_usage_error(app: typer.Typer, arguments: list[str]) -> None:
    assert runner.invoke(app, ["dead-letters", *arguments]).exit_code == 2


OPEN = {
    "none": ([], "no open dead letters match"),
    "one": ([None], "1 open dead letter: none can be retried"),
    "two": ([None, b"{}"], "2 open dead letters: none can be retried"),
}


@pytest.mark.parametrize(("keys", "said"), OPEN.values(), ids=OPEN)
def test_retry_of_letters_without_a_row_says_that_they_are_there(
    app: typer.Typer, monkeypatch: pytest.MonkeyPatch, keys: list[bytes | None], said: str
) -> None:
    async def find_letters(brokers: str, selection: Selection, **_: Any) -> Collector:
        collector = Collector(selection)
        for offset, key in enumerate(keys):
            letter = replace(
                found(key=key).letter, record=Record(place=replace(PLACE, offset=offset), key=key, value=b"{")
            )
            stands_at = Place(topic="products.dead-letters.v1", partition=0, offset=offset)
            collector.add(replace(letter.record, place=stands_at, headers=tuple(letter.headers())))
        return collector

    monkeypatch.setattr(dead_letters, "find_letters", find_letters)
    result = runner.invoke(app, ["dead-letters", "retry", "--error", "DecodeError", "--yes"])
    assert result.stdout.strip() == said
    assert result.stderr.count("refused ") == len(keys)
    assert result.exit_code == (1 if keys else 0)


@pytest.mark.parametrize("command", ["list", "show", "retry", "discard"])
def test_help_has_an_example(app: typer.Typer, command: str) -> None:
    assert "Example: lockstep dead-letters" in runner.invoke(app, ["dead-letters", command, "--help"]).stdout
