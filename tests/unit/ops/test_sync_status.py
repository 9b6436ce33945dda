"""A part that cannot be asked does not hide the others."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest

from connectors.kafka import Group, KafkaAdmin, Watermarks
from connectors.postgres import Postgres, SlotState
from connectors.qdrant import QdrantStore
from ops import sync_status as status_module
from ops.settings import ConnectSettings, Settings, StatusSettings
from ops.status.change_times import ChangeTimes
from ops.status.limits import Level
from ops.status.report import PartitionLag
from ops.sync_status import sync_status
from schemas.collection import CollectionState, Coverage, LiveCollection, Phase
from schemas.errors import SourceError, VectorStoreError
from schemas.recipe import Recipe

NOW = datetime(2026, 11, 20, 10, tzinfo=UTC)
COVERAGE = Coverage(phase=Phase.COMPLETE, at=NOW)


class Parts:
    """Postgres, Qdrant and the broker, all well."""

    @property
    def collections(self) -> "Parts":
        return self

    async def all(self) -> list[CollectionState]:
        return [
            CollectionState(name=name, live=live, points=4, recipe=Recipe(), coverage=coverage)
            for name, live, coverage in (("products-0", False, None), ("products-1", True, COVERAGE))
        ]

    async def count(self) -> int:
        return 3

    async def estimated_count(self) -> int | None:
        return None

    async def group(self, group: str, topic: str) -> Group:
        return Group(state="STABLE", partitions={"worker-2": [1], "worker-1": [0]})

    async def slot_state(self, slot: str) -> SlotState | None:
        return SlotState(confirmed="0/1B5FAC0", lag_bytes=120, active=True, wal_status="reserved")

    async def live_collection(self) -> LiveCollection:
        return LiveCollection(name="products-1", recipe=Recipe())

    async def committed(self, group: str, topic: str) -> dict[int, int]:
        return {0: 7}

    async def watermarks(self, topic: str) -> dict[int, Watermarks]:
        return {0: Watermarks(low=0, high=10), 1: Watermarks(low=5, high=6)}


async def ask(
    parts: Any, home: Path, monkeypatch: pytest.MonkeyPatch, status: StatusSettings | None = None, **options: Any
) -> status_module.SyncStatus:
    async def letters(settings: Settings) -> Counter[str]:
        return Counter(DecodeError=2)

    async def times(brokers: str, topic: str, partitions: Sequence[PartitionLag]) -> ChangeTimes:
        return ChangeTimes(newest_indexed=NOW, oldest_waiting=NOW)

    monkeypatch.setattr(status_module, "_open_dead_letters", letters)
    monkeypatch.setattr(status_module, "read_change_times", times)
    settings = Settings(
        _env_file=None,
        home=home,
        connect=ConnectSettings(url="http://127.0.0.1:1"),
        status=status or StatusSettings(),
    )
    return await sync_status(
        settings, cast(Postgres, parts), cast(QdrantStore, parts), cast(KafkaAdmin, parts), **options
    )


async def test_every_part_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    status = await ask(Parts(), tmp_path, monkeypatch)
    assert (status.rows, status.rows_estimated, status.last_reconcile) == (3, False, None)
    assert (status.open_dead_letters, status.dead_letters_by_reason) == (2, {"DecodeError": 2})
    assert status.index is not None
    assert (status.index.collection, status.index.points, status.index.dimensions) == ("products-1", 4, 384)
    assert (status.index.phase, status.index.others) == (Phase.COMPLETE, ["products-0"])
    assert status.lag is not None
    assert [(of.committed, of.lag_records) for of in status.lag.partitions] == [(7, 3), (5, 1)]
    assert (status.lag.lag_records, status.lag.oldest_waiting_at) == (4, NOW)
    assert status.slot is not None
    assert status.slot.lag_bytes == 120
    assert status.group is not None
    assert [(of.name, of.partitions) for of in status.group.members] == [("worker-1", [0]), ("worker-2", [1])]
    assert list(status.unavailable) == ["connector"]
    assert status.level is Level.RED
    assert {line.part for line in status.lines if line.level is Level.RED} >= {"connector"}


async def test_a_large_table_is_estimated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Large(Parts):
        async def estimated_count(self) -> int | None:
            return 1_001

        async def count(self) -> int:
            raise AssertionError("counting would take long")

    status = await ask(Large(), tmp_path, monkeypatch, StatusSettings(exact_rows=1_000))
    assert (status.rows, status.rows_estimated) == (1_001, True)


async def test_a_lag_that_stands_still_from_look_to_look_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Moving(Parts):
        reached = 7

        async def committed(self, group: str, topic: str) -> dict[int, int]:
            return {0: self.reached}

    parts = Moving()
    looks = [await ask(parts, tmp_path, monkeypatch)]
    for parts.reached in (7, 7, 8):
        looks.append(await ask(parts, tmp_path, monkeypatch, before=looks[-1]))
    still = [look.lag.still_seconds for look in looks if look.lag]
    first, second = (looks[2].at - looks[1].at).total_seconds(), (looks[1].at - looks[0].at).total_seconds()
    assert still == [None, pytest.approx(second), pytest.approx(first + second), 0.0]


async def test_the_parts_are_asked_side_by_side(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Waiting(Parts):
        everybody = asyncio.Barrier(3)

        async def count(self) -> int:
            await self.everybody.wait()
            return 3

        async def live_collection(self) -> LiveCollection:
            await self.everybody.wait()
            return await super().live_collection()

        async def group(self, group: str, topic: str) -> Group:
            await self.everybody.wait()
            return await super().group(group, topic)

    status = await ask(Waiting(), tmp_path, monkeypatch)
    assert list(status.unavailable) == ["connector"]


async def test_a_part_that_fails_or_never_answers_is_null_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Half(Parts):
        async def live_collection(self) -> LiveCollection:
            raise VectorStoreError("qdrant is down", hint="start it")

        async def count(self) -> int:
            raise SourceError("postgres is down")

        async def slot_state(self, slot: str) -> SlotState | None:
            return None

        async def watermarks(self, topic: str) -> dict[int, Watermarks]:
            await asyncio.Event().wait()
            return {}

    status = await ask(Half(), tmp_path, monkeypatch, within_seconds=0.1)
    assert (status.rows, status.index, status.lag, status.slot, status.connector) == (None,) * 5
    assert status.open_dead_letters == 2
    assert status.unavailable["rows"] == "postgres is down"
    assert status.unavailable["index"] == "qdrant is down"
    assert status.hints["index"] == "start it"
    assert status.unavailable["lag"] == "no answer within 0.1 s"
    assert "does not exist" in status.unavailable["slot"]
