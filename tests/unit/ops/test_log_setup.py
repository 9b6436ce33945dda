"""Log lines, for people and for machines."""

import ast
import io
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from ops.log_setup import JsonFormatter, OneLineFilter, TextFormatter, set_up_logging

ROOT = Path(__file__).parents[3]
FIELDS = {
    "who and where": {
        "caller",
        "connector",
        "job",
        "key",
        "part",
        "place",
        "remote",
        "request_id",
        "trace_id",
        "target",
        "topic",
    },
    "what became of it": {"action", "method", "operation", "result", "route", "status", "web", "where"},
    "why, in words of ours": {"error", "hint", "reason"},
    "how much": {
        "entries",
        "epoch",
        "outdated",
        "held_seconds",
        "keys",
        "ms",
        "partitions",
        "records",
        "seconds",
        "tokens",
    },
    "limits": {"within_seconds"},
}
"""What a line of ours may hold. There is no field for what a row says: a price, a name, a text, a vector, a query."""


@pytest.fixture
def _logging_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    levels = {name: logging.getLogger(name).level for name in ("ops", "streams", "connectors", "schemas", "__main__")}
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, before in levels.items():
        logging.getLogger(name).setLevel(before)


def record(message: str = "record set aside", name: str = "streams.indexer", **fields: Any) -> logging.LogRecord:
    made = logging.LogRecord(name, logging.WARNING, __file__, 1, message, None, None)
    vars(made).update(fields)
    return made


def test_text_line_has_the_fields_after_the_message() -> None:
    line = TextFormatter().format(record(place="t[0]@1", reason="two words"))
    assert line.endswith('WARNING streams.indexer record set aside place=t[0]@1 reason="two words"')


def test_json_line_has_the_fields_beside_the_message() -> None:
    line = orjson.loads(JsonFormatter().format(record(place="t[0]@1")))
    assert (line["message"], line["place"], line["level"]) == ("record set aside", "t[0]@1", "WARNING")


@pytest.mark.parametrize("value", ["\ud800", 1 << 70, {1: 2}])
def test_no_value_loses_the_line(value: Any) -> None:
    assert "record set aside" in JsonFormatter().format(record(odd=value))
    assert "record set aside" in TextFormatter().format(record(odd=value))


def test_what_a_library_raised_is_one_line_and_what_we_raised_is_whole() -> None:
    try:
        raise AssertionError("did we not\nbootstrap?")
    except AssertionError:
        theirs, ours = record(name="aiokafka.conn"), record()
        theirs.exc_info = ours.exc_info = sys.exc_info()
    one_line = OneLineFilter(("aiokafka",))
    assert one_line.filter(theirs)
    assert one_line.filter(ours)
    assert TextFormatter().format(theirs).endswith("record set aside: AssertionError: did we not bootstrap?")
    assert "Traceback" in TextFormatter().format(ours)


@pytest.mark.parametrize(
    ("asked", "terminal", "is_json"),
    [
        ("auto", True, False),
        ("auto", False, True),
        ("text", False, False),
        ("json", True, True),
    ],
)
@pytest.mark.usefixtures("_logging_as_it_was")
def test_a_log_is_text_on_a_terminal_and_json_elsewhere_unless_it_is_said(
    asked: str, terminal: bool, is_json: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = io.StringIO()
    monkeypatch.setattr(written, "isatty", lambda: terminal)
    monkeypatch.setattr(sys, "stderr", written)
    set_up_logging("INFO", asked)
    logging.getLogger("ops.worker").info("worker starts", extra={"action": "worker_start"})
    assert written.getvalue().startswith("{") is is_json
    assert "worker_start" in written.getvalue()


def _calls() -> Iterator[tuple[str, ast.Call]]:
    """Every call of a logger in our packages, with where it stands."""
    methods = {"debug", "info", "warning", "error", "exception", "critical", "log"}
    for package in ("schemas", "streams", "connectors", "ops"):
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if (
                    isinstance(node, ast.Call)
                    and isinstance(node.func, ast.Attribute)
                    and isinstance(node.func.value, ast.Name)
                    and node.func.value.id == "logger"
                    and node.func.attr in methods
                ):
                    yield f"{path.relative_to(ROOT)}:{node.lineno}", node


def test_no_line_of_the_log_has_row_content() -> None:
    """The text is fixed, so that lines can be counted and found; what varies is an id, a place, a count or a reason."""
    known, found = set().union(*FIELDS.values()), dict(_calls())
    assert len(found) > 40
    for where, call in found.items():
        assert len(call.args) == 1, where
        assert isinstance(call.args[0], ast.Constant), where
        for keyword in call.keywords:
            if keyword.arg == "extra":
                assert isinstance(keyword.value, ast.Dict), where
                dicts = [part for part in ast.walk(keyword.value) if isinstance(part, ast.Dict)]
                names = {key.value for part in dicts for key in part.keys if isinstance(key, ast.Constant)}
                assert names <= known, f"{where}: {names - known}"
