"""A made-up history ends in the rows that it was made of."""

from collections import Counter
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from ops.bench.history import history
from schemas.change import Change, Operation
from schemas.debezium import decode_change
from schemas.product import Product
from schemas.record import Place, Record

ROWS = [
    Product(
        id=number + 1,
        article_id=f"01087{number:05}",
        name=f"wool hat {number}",
        description=None if number % 7 == 0 else "warm",
        price=None if number % 11 == 0 else Decimal(number) / 4,
        created_at=datetime(2026, 11, 21, 4, 20, 56, 190_837, tzinfo=UTC),
        updated_at=None,
    )
    for number in range(200)
]


def changes_of(records: int, seed: int = 1) -> list[Change]:
    return [
        decode_change(Record(place=Place(topic="t", partition=0, offset=offset), key=key, value=value), epoch=0)
        for offset, (key, value) in enumerate(history(ROWS, records, seed))
    ]


def rows_left(changes: list[Change]) -> dict[str, Product]:
    left: dict[str, Product] = {}
    for change in changes:
        if change.row is None:
            left.pop(change.key, None)
        else:
            left[change.key] = change.row
    return left


@pytest.mark.parametrize("records", [200, 201, 567, 2000])
def test_history_has_so_many_records_and_ends_in_its_rows(records: int) -> None:
    changes = changes_of(records)
    assert len(changes) == records
    assert rows_left(changes) == {row.article_id: row for row in ROWS}


def test_history_is_mostly_prices_and_has_texts_deletes_and_rows_that_went() -> None:
    changes = changes_of(4000)
    operations = Counter(change.operation for change in changes)
    assert operations[Operation.SNAPSHOT_READ] == len(ROWS)
    assert operations[Operation.UPDATE] > operations[Operation.CREATE] > 50
    assert operations[Operation.TOMBSTONE] == operations[Operation.DELETE] > 50
    assert len({change.key for change in changes}) > len(ROWS)
    names = {row.article_id: row.name for row in ROWS}
    other_texts = sum(change.row is not None and change.row.name != names.get(change.key) for change in changes)
    assert 0.1 < other_texts / len(changes) < 0.3


def test_later_records_have_later_lsns_and_times() -> None:
    stamps = [(change.lsn, change.source_time_ms) for change in changes_of(1000) if change.lsn]
    assert stamps == sorted(set(stamps))


def test_history_is_the_same_for_the_same_seed() -> None:
    assert list(history(ROWS, 900, 3)) == list(history(ROWS, 900, 3)) != list(history(ROWS, 900, 4))


def test_fewer_records_than_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="199 records cannot hold 200 rows"):
        next(history(ROWS, 199, 1))
