"""How the program logs: one line a message, fixed text and fields, for people or for machines."""

import io
import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any

import orjson

from ops.log_repeats import RepeatHandler, Repeats

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}

_LIBRARIES = ("aiokafka", "faust", "mode", "kafka")


def set_up_logging(level: str, log_format: str) -> None:
    """Send everything to stderr in one format; libraries speak from WARNING on, and nobody repeats himself for long.

    The format `auto` is text on a terminal and JSON elsewhere.
    """
    # A log line must not fail on what a record holds, such as a lone surrogate.
    if isinstance(sys.stderr, io.TextIOWrapper):
        sys.stderr.reconfigure(errors="backslashreplace")
    if log_format == "auto":
        log_format = "text" if sys.stderr.isatty() else "json"
    handler = RepeatHandler(sys.stderr, Repeats(_LIBRARIES))
    handler.setFormatter(JsonFormatter() if log_format == "json" else TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    for name in ("ops", "streams", "connectors", "schemas", "__main__"):
        logging.getLogger(name).setLevel(level)
    handler.addFilter(OneLineFilter(_LIBRARIES))


class TextFormatter(logging.Formatter):
    """`2026-11-20 12:00:00.123 INFO  streams.agents batch dropped records=200 reason="…"`."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, and a traceback below it where there is one."""
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(" ", timespec="milliseconds")[:23]
        line = f"{moment} {record.levelname:<7} {record.name} {record.getMessage()}"
        fields = " ".join(f"{key}={_quoted(value)}" for key, value in _extra(record).items())
        text = f"{line} {fields}" if fields else line
        return f"{text}\n{self.formatException(record.exc_info)}" if record.exc_info else text


class JsonFormatter(logging.Formatter):
    """One JSON object a line: `time`, `level`, `logger`, `message`, then the fields."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as JSON; values that JSON does not know become text."""
        entry: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **_extra(record),
        }
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        try:
            return orjson.dumps(entry, default=str).decode()
        except TypeError:  # lone surrogates, integers above 64 bits, keys that are no text
            return json.dumps(entry, default=str, skipkeys=True)


class OneLineFilter(logging.Filter):
    """Puts what these libraries raised behind their message, in place of their stack trace."""

    def __init__(self, prefixes: tuple[str, ...]) -> None:
        super().__init__()
        self._prefixes = prefixes

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record through."""
        if record.exc_info and record.name.startswith(self._prefixes):
            kind, error, _ = record.exc_info
            reason = " ".join(str(error).split())
            record.msg = f"{record.getMessage()}: {kind.__name__ if kind else 'error'}: {reason}"
            record.args = record.exc_info = record.exc_text = None
        return True


def _extra(record: logging.LogRecord) -> dict[str, Any]:
    return {key: value for key, value in vars(record).items() if key not in _STANDARD}


def _quoted(value: object) -> str:
    text = str(value)
    return json.dumps(text, ensure_ascii=False) if not text or any(c in text for c in ' "\n=') else text
