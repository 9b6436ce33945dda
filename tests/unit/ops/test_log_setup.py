"""Log lines, for people and for machines."""

import logging
from typing import Any

import orjson
import pytest

from ops.log_setup import JsonFormatter, RepeatFilter, TextFormatter


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
