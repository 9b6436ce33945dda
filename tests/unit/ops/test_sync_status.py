"""A part that cannot be asked does not hide the others."""

import asyncio
from pathlib import Path
from typing import Any, cast

import pytest

from connectors.kafka import KafkaAdmin, Watermarks
from connectors.postgres import Postgres, SlotState
from connectors.qdrant import QdrantStore
from ops import sync_status as status_module
from ops.settings import ConnectSettings, Settings
from ops.sync_status import sync_status
from schemas.collection import LiveCollection
from schemas.errors import SourceError, VectorStoreError
from schemas.recipe import Recipe


class Parts:
    """Postgres, Qdrant and the broker, all well."""

    async def count(self, *collection: str) -> int:
        return 4 if collection else 3

    async def slot_state(self, slot: str) -> SlotState | None:
        return SlotState(confirmed="0/1B5FAC0", lag_bytes=120, active=True, wal_status="reserved")

    async def live_collection(self) -> LiveCollection:
        return LiveCollection(name="products-1", recipe=Recipe())

    async def committed(self, group: str, topic: str) -> dict[int, int]:
        return {0: 7}

    async def watermarks(self, topic: str) -> dict[int, Watermarks]:
        return {0: Watermarks(low=0, high=10), 1: Watermarks(low=5, high=6)}


async def ask(parts: Any, home: Path, monkeypatch: pytest.MonkeyPatch, **limits: float) -> status_module.SyncStatus:
    async def letters(settings: Settings) -> int:
        return 2

    monkeypatch.setattr(status_module, "_open_dead_letters", letters)
    settings = Settings(_env_file=None, home=home, connect=ConnectSettings(url="http://127.0.0.1:1"))
    return await sync_status(
        settings, cast(Postgres, parts), cast(QdrantStore, parts), cast(KafkaAdmin, parts), **limits
    )


async def test_every_part_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    status = await ask(Parts(), tmp_path, monkeypatch)
    assert (status.rows, status.open_dead_letters, status.last_reconcile) == (3, 2, None)
    assert status.index is not None
    assert (status.index.collection, status.index.points, status.index.dimensions) == ("products-1", 4, 384)
    assert status.lag is not None
    assert [(of.committed, of.lag_records) for of in status.lag.partitions] == [(7, 3), (5, 1)]
    assert status.lag.lag_records == 4
    assert status.slot is not None
    assert status.slot.lag_bytes == 120
    assert list(status.unavailable) == ["connector"]


async def test_a_part_that_fails_or_never_answers_is_null_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Half(Parts):
        async def count(self, *collection: str) -> int:
            if collection:
                raise VectorStoreError("qdrant is down")
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
    assert status.unavailable["lag"] == "no answer within 0.1 s"
    assert "does not exist" in status.unavailable["slot"]
