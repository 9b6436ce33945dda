"""The mixed workload ends in the rows that it says, in the shares that it promises."""

from collections import Counter
from collections.abc import Iterable
from itertools import chain

from ops.bench.mix import Mix, with_repeat
from ops.bench.plain_index import row_of
from ops.bench.synthetic import KeyAndValue
from schemas.change import Change, Operation
from schemas.debezium import decode_change
from schemas.product import Product
from schemas.record import Place, Record


def decoded(records: Iterable[KeyAndValue]) -> list[Change]:
    return [
        decode_change(Record(place=Place(topic="t", partition=0, offset=offset), key=key, value=value), epoch=0)
        for offset, (key, value) in enumerate(records)
    ]


def rows_left(changes: Iterable[Change]) -> dict[str, Product]:
    left: dict[str, Product] = {}
    for change in changes:
        if change.row is None:
            left.pop(change.key, None)
        else:
            left[change.key] = change.row
    return left


def test_records_leave_the_rows_that_the_mix_has() -> None:
    mix = Mix(seed=3)
    changes = decoded(chain(mix.snapshot(300), mix.changes(1000), mix.changes(777)))
    assert rows_left(changes) == mix.rows


def test_changes_have_their_shares_and_a_delete_is_two_records() -> None:
    mix = Mix(seed=3)
    texts = {row.article_id: row.name for row in (change.row for change in decoded(mix.snapshot(500))) if row}
    operations: Counter[Operation] = Counter()
    renamed = 0
    for change in decoded(mix.changes(2000)):
        operations[change.operation] += 1
        if change.row is not None:
            renamed += change.operation is Operation.UPDATE and change.row.name != texts[change.key]
            texts[change.key] = change.row.name
    assert operations == {
        Operation.UPDATE: 1960,
        Operation.CREATE: 20,
        Operation.DELETE: 20,
        Operation.TOMBSTONE: 20,
    }
    assert renamed == 160


def test_inserts_bring_keys_back_that_were_deleted() -> None:
    mix = Mix(seed=3)
    changes = decoded(chain(mix.snapshot(500), mix.changes(3000)))
    gone = {change.key for change in changes if change.operation is Operation.DELETE}
    assert any(change.operation is Operation.CREATE and change.key in gone for change in changes)


def test_the_same_seed_gives_the_same_records() -> None:
    one, other, another = (list(chain(mix.snapshot(50), mix.changes(100))) for mix in (Mix(7), Mix(7), Mix(8)))
    assert one == other != another


def test_a_repeat_comes_at_once_and_ends_in_the_same_rows() -> None:
    mix = Mix(seed=5)
    snapshot, records = list(mix.snapshot(200)), list(mix.changes(400))
    again = with_repeat(records, 150, 200)
    assert again[:200] == records[:200]
    assert again[200:250] == records[150:200]
    assert again[250:] == records[200:]
    assert rows_left(decoded([*snapshot, *again])) == mix.rows


def test_a_plain_consumer_takes_columns_and_sees_deletes() -> None:
    mix = Mix(seed=5)
    _, (_, value) = mix.snapshot(2)
    row = list(mix.rows.values())[1]
    columns = row_of(value)
    assert columns == {name: cell for name, cell in row.payload().items() if name != "price_text"}
    deletes = [value for _, value in mix.changes(100) if row_of(value) is None]
    assert len(deletes) == 2
