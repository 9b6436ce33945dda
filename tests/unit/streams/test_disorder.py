"""The order of a row's changes when the source's own marks, LSN and clock, are out of order."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.action import DeletePoint, OverwritePayload, Skip, SkipReason, UpsertPoint
from schemas.change import Change, Operation
from schemas.indexed_row import IndexedRow
from schemas.product import Product
from schemas.recipe import Recipe
from schemas.record import Place, Record
from streams.counters import Counters
from streams.health import Health
from streams.indexer import Indexer
from streams.planner import outdated, plan, remember
from tests.fakes.pipeline import (
    TOPIC,
    CountingLease,
    FakeEmbedder,
    InMemoryTable,
    ListOfDeadLetters,
    RowsInMemory,
    flat_row,
)
from tests.fakes.vector_store import InMemoryVectorStore

RECIPE = Recipe()
ROW = Product(id=1, article_id="A1", name="Strap top", price=Decimal("19.99"))
CHEAPER = replace(ROW, price=Decimal("9.99"))
HOUR_MS = 3_600_000
NOON_MS = 1_800_000_000_000

C, U, D, R, T = (
    Operation.CREATE,
    Operation.UPDATE,
    Operation.DELETE,
    Operation.SNAPSHOT_READ,
    Operation.TOMBSTONE,
)


def change(
    operation: Operation,
    offset: int,
    *,
    lsn: int | None,
    source_time_ms: int | None = NOON_MS,
    epoch: int = 0,
    row: Product | None = None,
) -> Change:
    place = Place(topic=TOPIC, partition=0, offset=offset)
    return Change(
        operation=operation,
        key="A1",
        version=place.version(epoch),
        place=place,
        row=None if operation in (D, T) else row or CHEAPER,
        lsn=lsn,
        source_time_ms=source_time_ms,
    )


def remembered(coming: Change, indexed: IndexedRow | None = None) -> IndexedRow:
    return remember(coming, indexed, RECIPE, now_ms=0)


# The row as the old primary left it, far ahead in the WAL of a standby that was promoted without its last part.
ON_THE_OLD_PRIMARY = remembered(change(C, 100, lsn=134_253_808, row=ROW))
DELETED_ON_THE_OLD_PRIMARY = remembered(change(D, 101, lsn=134_253_900), ON_THE_OLD_PRIMARY)
ON_THE_STANDBY = 134_249_304
AFTER_THE_FAILOVER = [
    pytest.param(U, ON_THE_OLD_PRIMARY, OverwritePayload(), id="update"),
    pytest.param(D, ON_THE_OLD_PRIMARY, DeletePoint(), id="delete"),
    pytest.param(T, ON_THE_OLD_PRIMARY, DeletePoint(), id="tombstone"),
    pytest.param(C, DELETED_ON_THE_OLD_PRIMARY, UpsertPoint(), id="insert of a deleted row"),
]


@pytest.mark.parametrize(("operation", "indexed", "wanted"), AFTER_THE_FAILOVER)
def test_change_of_a_standby_with_a_lower_lsn_is_applied_once_the_epoch_is_raised(
    operation: Operation, indexed: IndexedRow, wanted: object
) -> None:
    coming = change(operation, 102, lsn=ON_THE_STANDBY, epoch=1)
    assert plan(coming, indexed, remembered(coming, indexed)) == wanted


@pytest.mark.parametrize(("operation", "indexed", "wanted"), AFTER_THE_FAILOVER)
def test_change_of_a_standby_with_a_lower_lsn_is_skipped_while_the_epoch_is_the_old_one(
    operation: Operation, indexed: IndexedRow, wanted: object
) -> None:
    coming = change(operation, 102, lsn=ON_THE_STANDBY)
    assert plan(coming, indexed, remembered(coming, indexed)) == Skip(SkipReason.REDELIVERED_BY_DEBEZIUM)


@pytest.mark.parametrize(("operation", "indexed", "wanted"), AFTER_THE_FAILOVER)
def test_change_of_a_standby_with_a_lower_lsn_is_applied_when_its_clock_has_gone_on(
    operation: Operation, indexed: IndexedRow, wanted: object
) -> None:
    coming = change(operation, 102, lsn=ON_THE_STANDBY, source_time_ms=NOON_MS + 1)
    assert plan(coming, indexed, remembered(coming, indexed)) == wanted


@pytest.mark.parametrize(
    "without_lsn",
    [
        pytest.param(change(R, 102, lsn=ON_THE_STANDBY, epoch=1, row=ROW), id="snapshot read"),
        pytest.param(change(T, 102, lsn=None, source_time_ms=None, epoch=1), id="tombstone without headers"),
    ],
)
def test_lsn_of_the_old_primary_is_forgotten_with_its_epoch(without_lsn: Change) -> None:
    # The failover is followed by a snapshot, and the snapshot by the changes of the new primary, all in the new epoch.
    after = remembered(without_lsn, ON_THE_OLD_PRIMARY)
    assert outdated(change(U, 103, lsn=ON_THE_STANDBY, epoch=1), after) is None


def test_change_of_the_new_primary_is_held_to_the_lsn_of_the_new_primary() -> None:
    first = change(U, 102, lsn=ON_THE_STANDBY, epoch=1)
    after = remembered(first, ON_THE_OLD_PRIMARY)
    redelivered = change(U, 104, lsn=ON_THE_STANDBY - 8, epoch=1)
    assert outdated(redelivered, after) is SkipReason.REDELIVERED_BY_DEBEZIUM


@pytest.mark.parametrize("jump_ms", [-HOUR_MS, 0, HOUR_MS], ids=["back an hour", "stands still", "ahead an hour"])
@pytest.mark.parametrize("operation", [C, U, D, T, R], ids=lambda operation: operation.name.lower())
def test_newer_change_is_applied_whatever_the_clock_says(operation: Operation, jump_ms: int) -> None:
    for before in (ON_THE_OLD_PRIMARY, DELETED_ON_THE_OLD_PRIMARY):
        coming = change(operation, 102, lsn=134_254_000, source_time_ms=NOON_MS + jump_ms)
        assert outdated(coming, before) is None


@dataclass(frozen=True)
class Written:
    """What a client did to a row, and what the source's clock said."""

    key: str
    price: int | None
    """None: the row is deleted."""
    source_time_ms: int


WRITES = st.lists(
    st.builds(
        Written,
        key=st.sampled_from(("A1", "A2")),
        price=st.none() | st.integers(0, 9),
        # The clock jumps by an hour, and often says the same as before.
        source_time_ms=st.sampled_from((NOON_MS - HOUR_MS, NOON_MS, NOON_MS + 1, NOON_MS + HOUR_MS)),
    ),
    max_size=12,
)
RESTARTS = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), max_size=3)


def delivered(writes: Sequence[Written], restarts: Sequence[tuple[int, int]]) -> list[Record]:
    """The topic: each restart of Connect, after so many writes, delivers the last so many of them once more."""
    order = list(range(len(writes)))
    for after, again in sorted(restarts, reverse=True):
        end = min(after, len(writes))
        order[end:end] = range(max(0, end - again), end)
    records: list[Record] = []
    for number in order:
        written, lsn = writes[number], 1000 + 8 * number
        marks = {"__lsn": lsn, "__source_ts_ms": written.source_time_ms}
        headers = tuple((name, str(value).encode()) for name, value in marks.items())
        row = flat_row(written.key, {"price": str(written.price)})
        living = {"__op": "u", "__deleted": "false"}
        gone = {"__op": "d", "__deleted": "true"}
        values: list[bytes | None] = [orjson.dumps(row | (gone if written.price is None else living) | marks)]
        if written.price is None:
            values.append(None)
        for value in values:
            records.append(
                Record(
                    place=Place(topic=TOPIC, partition=0, offset=len(records)),
                    key=orjson.dumps({"article_id": written.key}),
                    value=value,
                    headers=headers,
                )
            )
    return records


@given(writes=WRITES, restarts=RESTARTS, batch=st.integers(1, 30))
async def test_promise_1_clock_that_jumps_loses_no_change_even_when_changes_come_twice(
    writes: list[Written], restarts: list[tuple[int, int]], batch: int
) -> None:
    store = InMemoryVectorStore()
    counters = Counters()
    indexer = Indexer(
        store=store,
        embedders=FakeEmbedder(),
        rows=RowsInMemory(),
        table=InMemoryTable(),
        dead_letters=ListOfDeadLetters(),
        health=Health(),
        counters=counters,
    )
    records = delivered(writes, restarts)
    for start in range(0, len(records), batch):
        await indexer.apply(records[start : start + batch], CountingLease())
    last = {written.key: written.price for written in writes}
    wanted = {key: str(price) for key, price in last.items() if price is not None}
    assert {key: point.payload["price_text"] for key, point in store.points.items()} == wanted
    # A topic on which nothing comes twice has nothing to skip.
    assert restarts or counters.actions["skip"] == 0
