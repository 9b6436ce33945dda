"""What repeats itself is said a few times, then counted."""

import io
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from ops.log_repeats import LIBRARY, OURS, RepeatHandler, Repeats
from ops.log_setup import TextFormatter


@dataclass
class Log:
    """A handler that writes into memory, by a clock that the test moves."""

    now: float = 0.0
    written: io.StringIO = field(default_factory=io.StringIO)

    def __post_init__(self) -> None:
        self.handler = RepeatHandler(self.written, Repeats(("aiokafka",), clock=lambda: self.now))
        self.handler.setFormatter(TextFormatter())

    def say(self, text: str = "record set aside", line: int = 1, level: int = logging.WARNING, **fields: Any) -> None:
        name = fields.pop("name", "streams.indexer")
        record = logging.LogRecord(name, level, __file__, line, text, None, None)
        vars(record).update(fields)
        self.handler.handle(record)

    @property
    def lines(self) -> list[str]:
        """Without time and level."""
        return [line[32:].lstrip() for line in self.written.getvalue().splitlines()]


@pytest.fixture
def log() -> Iterator[Log]:
    made = Log()
    yield made
    made.handler.close()


def test_a_line_that_repeats_itself_is_said_ten_times_a_minute_then_counted(log: Log) -> None:
    for number in range(OURS.lines + 7):
        log.say(action="set_aside", place=f"t[0]@{number}")
    assert log.lines[-1] == "streams.indexer record set aside action=set_aside place=t[0]@9"
    log.now = OURS.seconds
    log.say(action="set_aside", place="t[0]@99")
    assert log.lines[OURS.lines :] == [
        "streams.indexer record set aside action=set_aside left_out=7 within_seconds=60",
        "streams.indexer record set aside action=set_aside place=t[0]@99",
    ]


def test_the_count_comes_with_whatever_is_said_next(log: Log) -> None:
    for _ in range(OURS.lines + 1):
        log.say()
    log.now = OURS.seconds + 5
    log.say("going on", line=2, level=logging.INFO)
    assert log.lines[-2:] == [
        "streams.indexer record set aside left_out=1 within_seconds=65",
        "streams.indexer going on",
    ]


def test_lines_are_told_apart_by_their_place_and_action_not_by_their_fields(log: Log) -> None:
    for number in range(OURS.lines * 2):
        log.say(action="hold", error=f"error {number}")
        log.say(action="part_down")
        log.say(line=2)
    assert len(log.lines) == OURS.lines * 3


def test_news_is_never_left_out(log: Log) -> None:
    for _ in range(50):
        log.say("request answered", level=logging.INFO)
    assert len(log.lines) == 50


def test_a_line_that_ends_the_process_comes_after_every_count(log: Log) -> None:
    for _ in range(OURS.lines + 3):
        log.say(action="hold")
    log.say("worker ends", line=2, level=logging.CRITICAL)
    assert log.lines[-2:] == [
        "streams.indexer record set aside action=hold left_out=3 within_seconds=0",
        "streams.indexer worker ends",
    ]


def test_libraries_say_a_line_once_in_ten_seconds_at_any_level(log: Log) -> None:
    for _ in range(4):
        log.say("no broker", name="aiokafka.conn", level=logging.INFO)
    log.now = LIBRARY.seconds
    log.say("no broker", name="aiokafka.conn", level=logging.INFO)
    assert log.lines == [
        "aiokafka.conn no broker",
        "aiokafka.conn no broker left_out=3 within_seconds=10",
        "aiokafka.conn no broker",
    ]


def test_what_was_left_out_is_said_at_the_end(log: Log) -> None:
    for _ in range(OURS.lines + 2):
        log.say()
    log.handler.close()
    assert log.lines[-1].endswith("left_out=2 within_seconds=0")


def test_no_count_has_the_fields_of_one_record(log: Log) -> None:
    for _ in range(OURS.lines + 1):
        log.say(action="set_aside", place="t[0]@1", error="price is NaN")
    log.handler.close()
    assert "place" not in log.lines[-1]
    assert "NaN" not in log.lines[-1]
