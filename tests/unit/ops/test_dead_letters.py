"""What is found on a dead-letter topic, and which of it is still open."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from ops.dead_letters import Collector, FoundLetter, Selection, split_open
from schemas.dead_letter import DeadLetter, Resolution, ResolvedBy
from schemas.record import Place, Record
from streams.topics import DEAD_LETTERS, PRODUCT_CHANGES

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def place(offset: int, partition: int = 0) -> Place:
    return Place(topic=PRODUCT_CHANGES, partition=partition, offset=offset)


def letter(offset: int, key: str = "A", *, error: str = "DecodeError", at: datetime = NOON) -> DeadLetter:
    record = Record(place=place(offset), key=b'{"article_id":"%s"}' % key.encode(), value=b"{")
    return DeadLetter(record=record, error_class=error, error="no", attempts=1, set_aside_at=at)


def resolved(offset: int, *, set_aside_at: datetime = NOON, by: ResolvedBy = ResolvedBy.RETRIED) -> Resolution:
    return Resolution(place=place(offset), set_aside_at=set_aside_at, by=by, resolved_at=NOON + MINUTE)


def collect(
    records: Iterable[DeadLetter | Resolution | Record], selection: Selection | None = None, *, values: bool = False
) -> Collector:
    collector = Collector(selection or Selection(), keep_values=values)
    for offset, what in enumerate(records):
        stands_at = Place(topic=DEAD_LETTERS, partition=0, offset=offset)
        if isinstance(what, Record):
            collector.add(replace(what, place=stands_at))
        else:
            record = what.record if isinstance(what, DeadLetter) else Record(place=stands_at, key=None, value=None)
            collector.add(replace(record, place=stands_at, headers=tuple(what.headers())))
    return collector


def states(collector: Collector) -> list[tuple[int, str]]:
    return [(found.place.offset, found.state) for found in collector.letters()]


def test_letters_come_oldest_first() -> None:
    assert states(collect([letter(2), letter(1, at=NOON - MINUTE)])) == [(1, "open"), (2, "open")]


def test_a_place_that_appears_again_is_kept_once_with_its_newest() -> None:
    newest = letter(1, error="EmbeddingError", at=NOON + MINUTE)
    for order in ([letter(1), newest], [newest, letter(1)]):
        [found] = collect(order).letters()
        assert found.letter.error_class == "EmbeddingError"


def test_a_letter_is_resolved_wherever_its_resolution_stands() -> None:
    for order in ([letter(1), resolved(1)], [resolved(1), letter(1)]):
        assert states(collect([*order, letter(2)])) == [(1, "retried"), (2, "open")]


def test_a_letter_that_came_after_the_resolution_of_its_place_is_open() -> None:
    """The source topic was made anew: the place is another record's now."""
    assert states(collect([letter(1), resolved(1), letter(1, at=NOON + MINUTE)])) == [(1, "open")]


def test_an_older_resolution_does_not_hide_a_newer_one() -> None:
    records = [letter(1, at=NOON + MINUTE), resolved(1, set_aside_at=NOON + MINUTE, by=ResolvedBy.DISCARDED)]
    assert states(collect([*records, resolved(1)])) == [(1, "discarded")]


def test_values_are_kept_only_where_they_are_asked_for() -> None:
    [without] = collect([letter(1)]).letters()
    [with_value] = collect([letter(1)], values=True).letters()
    assert (without.letter.record.value, without.value_bytes) == (None, 1)
    assert (with_value.letter.record.value, with_value.value_bytes) == (b"{", 1)


def test_foreign_records_are_counted_and_the_first_are_named() -> None:
    foreign = Record(place=place(0), key=None, value=b"?")
    collector = collect([letter(1), *[foreign] * 9])
    assert states(collector) == [(1, "open")]
    assert (collector.foreign.count, len(collector.foreign.examples)) == (9, 5)
    assert collector.foreign.examples[0].startswith(f"{DEAD_LETTERS}[0]@1 is no dead letter")


SELECTIONS = {
    "everything": (Selection(), [1, 2, 3]),
    "place": (Selection(places=frozenset((place(2),))), [2]),
    "key": (Selection(key="B"), [2]),
    "error class in any case": (Selection(error_class="embeddingerror"), [3]),
    "since is inclusive": (Selection(since=NOON), [2, 3]),
    "until is exclusive": (Selection(until=NOON), [1]),
    "all conditions together": (Selection(key="A", since=NOON), [3]),
}


@pytest.mark.parametrize(("selection", "offsets"), SELECTIONS.values(), ids=SELECTIONS)
def test_a_selection_takes_what_meets_every_condition(selection: Selection, offsets: list[int]) -> None:
    letters = [letter(1, at=NOON - MINUTE), letter(2, "B"), letter(3, error="EmbeddingError", at=NOON + MINUTE)]
    assert [found.place.offset for found in collect(letters, selection).letters()] == offsets


def test_a_key_that_names_no_row_is_found_by_its_text() -> None:
    odd = replace(letter(1), record=Record(place=place(1), key=b"not json", value=None))
    assert states(collect([odd], Selection(key="not json"))) == [(1, "open")]


def test_the_newest_of_a_place_decides_whether_it_matches() -> None:
    records = [letter(1), letter(1, error="EmbeddingError", at=NOON + MINUTE)]
    assert states(collect(records, Selection(error_class="DecodeError"))) == []


def test_places_that_are_resolved_or_unknown_are_refused() -> None:
    found = collect([letter(1), letter(2), resolved(2)]).letters()
    open_letters, refused = split_open(found, {place(1), place(2), place(9)})
    assert [each.place for each in open_letters] == [place(1)]
    assert [(each.place, each.reason) for each in refused] == [
        (place(2), "already retried"),
        (place(9), "no dead letter of this place matches"),
    ]


def test_resolved_letters_are_left_out_without_a_word_when_no_place_was_named() -> None:
    found: list[FoundLetter] = collect([letter(1), resolved(1)]).letters()
    assert split_open(found, ()) == ([], [])
