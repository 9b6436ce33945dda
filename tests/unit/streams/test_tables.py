"""What the table says and forgets of deleted keys."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from types import SimpleNamespace

import pytest

from schemas.indexed_row import IndexedRow
from streams import tables
from streams.changelog import Entry
from streams.ports import TableEntry
from streams.tables import FaustIndexedRows


def row(version: int, applied_at_ms: int, data: bytes | None) -> IndexedRow:
    return IndexedRow(
        version=version,
        lsn=None,
        source_time_ms=None,
        recipe="r",
        embedding_fingerprint="f",
        applied_at_ms=applied_at_ms,
        row=data,
    )


def deleted(key: str, *, at_ms: int, partition: int = 0, version: int = 1) -> TableEntry:
    return TableEntry(partition=partition, key=key, row=row(version, at_ms, None))


def alive(key: str, *, at_ms: int = 0, version: int = 1, data: bytes = b'["A1",null]') -> TableEntry:
    return TableEntry(partition=0, key=key, row=row(version, at_ms, data))


class FakeData(dict[bytes, bytes]):
    """The store's part that the table uses."""

    def __init__(self) -> None:
        super().__init__()
        self.partitions: dict[bytes, int] = {}

    def remember(self, partition: int, key: bytes, value: bytes) -> None:
        self[key] = value
        self.partitions[key] = partition

    def forget(self, key: bytes) -> int:
        del self[key]
        return self.partitions.pop(key)

    def outdated_entries(self) -> list[tuple[int, bytes, bytes]]:
        return []


class FakeTable:
    """Faust's part: the changelog is a list, and a record is confirmed while `confirming` is set."""

    def __init__(self) -> None:
        self.data = FakeData()
        recovery = SimpleNamespace(_generation_id=1)
        self.app = SimpleNamespace(
            rebalancing=False, consumer_generation_id=1, tables=SimpleNamespace(recovery=recovery)
        )
        self.changelog: list[tuple[int, bytes, bytes | None]] = []
        self.confirming = asyncio.Event()
        self.confirming.set()
        self.recover: Callable[[], Awaitable[None]] | None = None

    def on_recover(self, callback: Callable[[], Awaitable[None]]) -> None:
        self.recover = callback

    async def send(self, entries: Sequence[Entry]) -> None:
        self.changelog += entries
        await self.confirming.wait()


@pytest.fixture
def table() -> FakeTable:
    return FakeTable()


@pytest.fixture
def rows(table: FakeTable) -> FaustIndexedRows:
    return FaustIndexedRows(table, table.send)


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "LOOK_AT_ONCE", 2)


async def test_deletes_are_found_by_their_time(rows: FaustIndexedRows) -> None:
    await rows.put([deleted("old", at_ms=99), deleted("edge", at_ms=100), deleted("new", at_ms=150)])
    await rows.put([alive("alive", at_ms=200), alive("odd", at_ms=200, data=b"a row that ends like a head\n")])
    assert await rows.deleted_since(100) == {"edge": 100, "new": 150}


async def test_old_deletes_are_forgotten_with_a_tombstone_in_their_partition(
    table: FakeTable, rows: FaustIndexedRows
) -> None:
    await rows.put([deleted(f"old-{n}", at_ms=n, partition=n) for n in range(5)])
    await rows.put([alive("alive"), deleted("edge", at_ms=100)])
    table.changelog.clear()
    assert await rows.drop_deleted(100) == 5
    assert table.changelog == [(n, f"old-{n}".encode(), None) for n in range(5)]
    assert list(table.data) == [b"alive", b"edge"]
    assert table.data.partitions == {b"alive": 0, b"edge": 0}
    assert await rows.drop_deleted(100) == 0


async def test_row_that_comes_back_before_its_entry_is_looked_at_is_kept(
    table: FakeTable, rows: FaustIndexedRows
) -> None:
    await rows.put([deleted(f"old-{n}", at_ms=n) for n in range(3)])
    table.changelog.clear()
    table.confirming.clear()
    dropping = asyncio.create_task(rows.drop_deleted(100))
    await asyncio.sleep(0)  # the first two are sent, and wait for the broker
    assert len(table.changelog) == 2
    putting = asyncio.create_task(rows.put([alive("old-2", version=9)]))
    await asyncio.sleep(0)
    table.confirming.set()
    await putting
    assert await dropping == 2
    assert table.changelog[-1] == (0, b"old-2", alive("old-2", version=9).row.to_bytes())
    assert rows.get("old-2") == alive("old-2", version=9).row


async def test_row_that_comes_back_while_its_tombstone_is_confirmed_follows_it(
    table: FakeTable, rows: FaustIndexedRows
) -> None:
    await rows.put([deleted("A1", at_ms=1)])
    table.changelog.clear()
    table.confirming.clear()
    dropping = asyncio.create_task(rows.drop_deleted(100))
    await asyncio.sleep(0)
    putting = asyncio.create_task(rows.put([alive("A1", version=9)]))
    await asyncio.sleep(0)
    table.confirming.set()
    await asyncio.gather(dropping, putting)
    assert [value for _, _, value in table.changelog] == [None, alive("A1", version=9).row.to_bytes()]
    assert rows.get("A1") == alive("A1", version=9).row


async def test_nothing_is_dropped_while_the_partitions_move(table: FakeTable, rows: FaustIndexedRows) -> None:
    await rows.put([deleted(f"old-{n}", at_ms=n) for n in range(4)])
    table.changelog.clear()
    table.confirming.clear()
    dropping = asyncio.create_task(rows.drop_deleted(100))
    await asyncio.sleep(0)
    table.app.rebalancing = True
    table.confirming.set()
    assert await dropping == 2
    assert len(rows) == 2
    assert await rows.drop_deleted(100) == 0


async def test_recoveries_are_counted(table: FakeTable, rows: FaustIndexedRows) -> None:
    assert table.recover is not None
    await table.recover()
    await table.recover()
    assert rows.recoveries == 2


async def test_recovery_that_a_rebalance_overtook_is_none(table: FakeTable, rows: FaustIndexedRows) -> None:
    assert table.recover is not None
    table.app.consumer_generation_id = 2
    await table.recover()
    assert rows.recoveries == 0
    table.app.tables.recovery._generation_id = 2
    await table.recover()
    assert rows.recoveries == 1
