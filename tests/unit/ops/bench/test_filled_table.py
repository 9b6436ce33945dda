"""Entries that are put on the changelog are those that a worker would have left."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import orjson
import pytest

from connectors.partitioner import partition_of_key
from ops.bench.filled_table import catalogue_rows, entries, marks
from ops.bench.history import DebeziumLog
from schemas.action import Action, Keep, OverwritePayload, UpsertPoint
from schemas.debezium import decode_change
from schemas.indexed_row import IndexedRow
from schemas.product import Product
from schemas.recipe import Recipe
from schemas.record import Place, Record
from schemas.source_mark import SourceMark, source_mark_key
from streams.planner import outdated, plan, remember
from streams.topics import PARTITIONS

ROWS = list(catalogue_rows(50, seed=1))


def entry_of(row: Product) -> IndexedRow:
    [record] = entries([row], Recipe(), now_ms=1)
    assert record.value is not None
    return IndexedRow.from_bytes(record.value)


def test_rows_go_on_where_the_first_ones_ended() -> None:
    assert [*catalogue_rows(20, 1), *catalogue_rows(30, 1, start=20)] == ROWS


def test_entry_stands_in_the_partition_of_its_row_and_remembers_it_whole() -> None:
    found = list(entries(ROWS, Recipe(), now_ms=1))
    assert [record.key for record in found] == [row.article_id.encode() for row in ROWS]
    for row, record in zip(ROWS, found, strict=True):
        assert record.partition == partition_of_key(orjson.dumps({"article_id": row.article_id}), PARTITIONS)
        assert Product.from_bytes(entry_of(row).row or b"") == row


@pytest.mark.parametrize(
    ("changed", "action"),
    [
        pytest.param({"price": Decimal("1.25")}, OverwritePayload(), id="a price embeds nothing"),
        pytest.param({"name": "another"}, UpsertPoint(), id="a text is embedded"),
        pytest.param({}, Keep(), id="the row as it was"),
    ],
)
def test_worker_decides_the_first_change_as_if_it_had_applied_the_row(changed: dict[str, Any], action: Action) -> None:
    entry = entry_of(ROWS[7])
    key, value = DebeziumLog().record("u", replace(ROWS[7], **changed))
    record = Record(place=Place(topic="t", partition=0, offset=0), key=key, value=value)
    change = decode_change(record, epoch=0)
    assert outdated(change, entry) is None
    assert plan(change, entry, remember(change, entry, Recipe(), now_ms=2)) == action


def test_each_partition_is_marked_with_the_source_topic() -> None:
    mark = SourceMark(epoch=2, topic_id="abc")
    found = list(marks(mark))
    assert [(record.partition, record.key) for record in found] == [(n, source_mark_key(n)) for n in range(PARTITIONS)]
    assert all(SourceMark.from_bytes(record.value or b"") == mark for record in found)
