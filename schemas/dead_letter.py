"""What stands on the dead-letter topic: records set aside with their reason, and notes that say what became of them."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Self

from schemas.errors import DecodeError
from schemas.product import time_text
from schemas.record import Place, Record

PREFIX = "lockstep-"

_PLACE = PREFIX + "place"
_ERROR_CLASS = PREFIX + "error-class"
_ERROR = PREFIX + "error"
_ATTEMPTS = PREFIX + "attempts"
_SET_ASIDE_AT = PREFIX + "set-aside-at"
_LETTER_HEADERS = (_PLACE, _ERROR_CLASS, _ERROR, _ATTEMPTS, _SET_ASIDE_AT)

_RESOLVES = PREFIX + "resolves"
_RESOLUTION = PREFIX + "resolution"
_RESOLVED_AT = PREFIX + "resolved-at"
_REASON = PREFIX + "reason"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """The original key, value and headers stay as they were; the reason travels in headers beside them."""

    record: Record
    error_class: str
    error: str
    attempts: int
    set_aside_at: datetime

    def headers(self) -> list[tuple[str, bytes]]:
        """The original headers, then ours, named `lockstep-…`."""
        ours = {
            _PLACE: str(self.record.place),
            _ERROR_CLASS: self.error_class,
            _ERROR: self.error,
            _ATTEMPTS: str(self.attempts),
            _SET_ASIDE_AT: time_text(self.set_aside_at) or "",
        }
        return [*self.record.headers, *_encoded(ours)]

    @classmethod
    def from_record(cls, stored: Record) -> Self:
        """Read a record that was published with `headers`. Raises `ValueError` for any other."""
        place = Place.parse(_text(stored, _PLACE))
        original = Record(
            place=place, key=stored.key, value=stored.value, headers=_without_last(stored.headers, _LETTER_HEADERS)
        )
        return cls(
            record=original,
            error_class=_text(stored, _ERROR_CLASS),
            error=_text(stored, _ERROR),
            attempts=int(_text(stored, _ATTEMPTS)),
            set_aside_at=_moment(stored, _SET_ASIDE_AT),
        )


class ResolvedBy(StrEnum):
    """What a person did about a dead letter."""

    RETRIED = "retried"
    """The row's present state was read again, and Qdrant agrees with it."""
    DISCARDED = "discarded"


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolution:
    """Says that a dead letter has been dealt with; a record without a value beside the letter, which stays."""

    place: Place
    set_aside_at: datetime
    """The letter's own: a later letter of the same place is not covered, as after the source topic was made anew."""
    by: ResolvedBy
    resolved_at: datetime
    reason: str = ""

    def covers(self, letter: DeadLetter) -> bool:
        """Whether the letter is the one that was dealt with, or an earlier appearance of it."""
        return letter.record.place == self.place and letter.set_aside_at <= self.set_aside_at

    def headers(self) -> list[tuple[str, bytes]]:
        """Everything there is to it."""
        return _encoded(
            {
                _RESOLVES: str(self.place),
                _SET_ASIDE_AT: time_text(self.set_aside_at) or "",
                _RESOLUTION: self.by,
                _RESOLVED_AT: time_text(self.resolved_at) or "",
                _REASON: self.reason,
            }
        )

    @classmethod
    def from_record(cls, stored: Record) -> Self:
        """Read a record that was published with `headers`. Raises `ValueError` for any other."""
        return cls(
            place=Place.parse(_text(stored, _RESOLVES)),
            set_aside_at=_moment(stored, _SET_ASIDE_AT),
            by=ResolvedBy(_text(stored, _RESOLUTION)),
            resolved_at=_moment(stored, _RESOLVED_AT),
            reason=_text(stored, _REASON),
        )


def decode_dead_letter(stored: Record) -> DeadLetter | Resolution:
    """Tell which of the two a record of the dead-letter topic is.

    Raises:
        DecodeError: It is neither; the message names its place.
    """
    try:
        # The place first: a letter also has the headers of its original record, whatever their names.
        if stored.header(_PLACE) is not None:
            return DeadLetter.from_record(stored)
        if stored.header(_RESOLVES) is not None:
            return Resolution.from_record(stored)
        raise ValueError(f"it has no header {_PLACE}")
    except ValueError as error:
        raise DecodeError(f"{stored.place} is no dead letter: {error}") from error


def _encoded(headers: dict[str, str]) -> list[tuple[str, bytes]]:
    return [(name, value.encode()) for name, value in headers.items()]


def _text(stored: Record, name: str) -> str:
    value = stored.header(name)
    if value is None:
        raise ValueError(f"header {name} is missing")
    return value.decode()


def _moment(stored: Record, name: str) -> datetime:
    moment = datetime.fromisoformat(_text(stored, name))
    if moment.tzinfo is None:
        raise ValueError(f"header {name} has no time zone")
    return moment


def _without_last(headers: Iterable[tuple[str, bytes]], names: Iterable[str]) -> tuple[tuple[str, bytes], ...]:
    """All but the last header of each name: a source record may have had one of that name."""
    ours = set(names)
    kept = []
    for header in reversed(tuple(headers)):
        if header[0] in ours:
            ours.discard(header[0])
        else:
            kept.append(header)
    return tuple(reversed(kept))
