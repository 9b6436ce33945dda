"""Log lines, for people and for machines."""

import logging
import sys
from typing import Any

import orjson
import pytest

from ops.log_setup import JsonFormatter, OneLineFilter, RepeatFilter, TextFormatter


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


def test_libraries_do_not_repeat_themselves() -> None:
    repeats = RepeatFilter(("aiokafka",))
    assert [repeats.filter(record(name="aiokafka.conn")) for _ in range(3)] == [True, False, False]
    assert all(repeats.filter(record()) for _ in range(3))


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
