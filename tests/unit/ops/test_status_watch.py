"""The status is asked for beside whoever wants it."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from ops import status_watch
from ops.status.report import SyncStatus
from ops.status_watch import StatusWatch
from schemas.collection import CollectionState, Coverage, Phase
from schemas.errors import VectorStoreError
from tests.fakes.status import NOTHING_KNOWN

NOW = datetime(2026, 11, 20, 10, tzinfo=UTC)


async def status() -> SyncStatus:
    return NOTHING_KNOWN


async def collections() -> Sequence[CollectionState]:
    made = CollectionState(name="products-1", live=True, points=3, recipe=None)
    filling = CollectionState(
        name="products-2", live=False, points=1, recipe=None, coverage=Coverage(phase=Phase.FILLING, at=NOW)
    )
    return [made, filling]


async def test_nothing_is_known_before_the_first_look() -> None:
    watch = StatusWatch(status, collections)
    assert watch.latest is None


async def test_a_look_counts_collections_by_phase() -> None:
    watch = StatusWatch(status, collections)
    await watch.look()
    assert watch.latest is not None
    assert watch.latest.phases == {"filling": 1, "following": 0, "complete": 0, "kept": 0, "none": 1}


async def test_without_a_status_the_last_look_stays() -> None:
    statuses = [NOTHING_KNOWN, None]

    async def one_status() -> SyncStatus | None:
        return statuses.pop(0)

    watch = StatusWatch(one_status, collections)
    await watch.look()
    await watch.look()
    assert watch.latest is not None
    assert watch.latest.status is NOTHING_KNOWN


async def test_first_status_is_not_waited_for_as_long_as_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status_watch, "FIRST_REST_SECONDS", 0)
    statuses: list[SyncStatus | None] = [None, None, NOTHING_KNOWN]

    async def one_status() -> SyncStatus | None:
        return statuses.pop(0)

    watch = StatusWatch(one_status, collections, rest_seconds=3600)
    async with watch.watched(), asyncio.timeout(5):
        while watch.latest is None:
            await asyncio.sleep(0)
    assert statuses == []


async def test_collections_that_cannot_be_listed_in_time_or_at_all_are_unknown() -> None:
    async def refuses() -> Sequence[CollectionState]:
        raise VectorStoreError("qdrant is down")

    async def never() -> Sequence[CollectionState]:
        await asyncio.Event().wait()
        return []

    for listing in (refuses, never):
        watch = StatusWatch(status, listing, within_seconds=0.05)
        await watch.look()
        assert watch.latest is not None
        assert watch.latest.phases is None


async def test_it_looks_for_as_long_as_its_block_lasts_and_keeps_the_last_look_while_parts_are_silent() -> None:
    looks = 0
    silent = asyncio.Event()

    async def slow() -> SyncStatus:
        nonlocal looks
        looks += 1
        if looks > 1:
            silent.set()
            await asyncio.Event().wait()
        return NOTHING_KNOWN

    watch = StatusWatch(slow, collections, rest_seconds=0.001)
    async with watch.watched():
        async with asyncio.timeout(5):
            await silent.wait()
        assert watch.latest is not None
