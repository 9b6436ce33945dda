"""Dead letters and resolutions go onto their topic and come back the same; what else stands there is named."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from schemas.dead_letter import DeadLetter, Resolution, ResolvedBy, decode_dead_letter
from schemas.errors import DecodeError
from schemas.record import Place, Record

NOW = datetime(2026, 11, 20, 10, 0, 0, 123456, tzinfo=UTC)
PLACE = Place(topic="pgserver.public.products", partition=2, offset=1041)
STANDS_AT = Place(topic="products.dead-letters.v1", partition=0, offset=7)

LETTER = DeadLetter(
    record=Record(
        place=PLACE,
        key=b'{"article_id":"A"}',
        value=b"{",
        headers=(("__lsn", b"1"), ("lockstep-error", b"its own"), ("__lsn", b"2")),
    ),
    error_class="DecodeError",
    error="cannot decode change: 🧥",
    attempts=3,
    set_aside_at=NOW,
)
RESOLUTION = Resolution(
    place=PLACE, set_aside_at=NOW, by=ResolvedBy.DISCARDED, resolved_at=NOW + timedelta(hours=1), reason="blåbær"
)


def stored(what: DeadLetter | Resolution) -> Record:
    record = what.record if isinstance(what, DeadLetter) else Record(place=STANDS_AT, key=b"k", value=None)
    return replace(record, place=STANDS_AT, headers=tuple(what.headers()))


LETTERS = {
    "row": LETTER,
    "tombstone": replace(LETTER, record=replace(LETTER.record, value=None)),
    "no key": replace(LETTER, record=replace(LETTER.record, key=None, headers=())),
    "bytes that are no text": replace(LETTER, record=replace(LETTER.record, key=b"\xff", value=b"\xfe\x00")),
    "a resolution that was read as a change": replace(
        LETTER, record=replace(LETTER.record, headers=tuple(RESOLUTION.headers()))
    ),
}


@pytest.mark.parametrize("letter", LETTERS.values(), ids=LETTERS)
def test_a_dead_letter_comes_back_with_its_record_as_it_was(letter: DeadLetter) -> None:
    assert decode_dead_letter(stored(letter)) == letter


def test_a_resolution_comes_back() -> None:
    assert decode_dead_letter(stored(RESOLUTION)) == RESOLUTION


def without(record: Record, name: str) -> Record:
    return replace(record, headers=tuple(header for header in record.headers if header[0] != name))


def instead(record: Record, name: str, value: bytes) -> Record:
    return replace(record, headers=(*record.headers, (name, value)))


FOREIGN = {
    "no headers": Record(place=STANDS_AT, key=None, value=b"x"),
    "no error": without(stored(replace(LETTER, record=replace(LETTER.record, headers=()))), "lockstep-error"),
    "place is no place": instead(stored(LETTER), "lockstep-place", b"products@5"),
    "place is no text": instead(stored(LETTER), "lockstep-place", b"\xff"),
    "attempts are no number": instead(stored(LETTER), "lockstep-attempts", b"many"),
    "time without a zone": instead(stored(LETTER), "lockstep-set-aside-at", b"2026-11-20T10:00:00"),
    "time is no time": instead(stored(LETTER), "lockstep-set-aside-at", b"yesterday"),
    "resolved in an unknown way": instead(stored(RESOLUTION), "lockstep-resolution", b"forgotten"),
    "resolves no place": instead(stored(RESOLUTION), "lockstep-resolves", b""),
}


@pytest.mark.parametrize("record", FOREIGN.values(), ids=FOREIGN)
def test_any_other_record_is_named_by_its_place(record: Record) -> None:
    with pytest.raises(DecodeError, match=r"^products\.dead-letters\.v1\[0\]@7 is no dead letter: "):
        decode_dead_letter(record)


COVERED = {
    "itself": (LETTER, True),
    "an earlier appearance": (replace(LETTER, set_aside_at=NOW - timedelta(seconds=1)), True),
    "a later one": (replace(LETTER, set_aside_at=NOW + timedelta(seconds=1)), False),
    "another place": (replace(LETTER, record=replace(LETTER.record, place=replace(PLACE, offset=0))), False),
}


@pytest.mark.parametrize(("letter", "covered"), COVERED.values(), ids=COVERED)
def test_a_resolution_covers_the_letter_that_was_seen_and_none_that_came_later(
    letter: DeadLetter, covered: bool
) -> None:
    assert RESOLUTION.covers(letter) is covered
