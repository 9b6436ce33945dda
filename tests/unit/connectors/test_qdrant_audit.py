"""Writes of an audit leave alone what is no longer as it was seen."""

from collections.abc import AsyncIterator

import pytest

from connectors.qdrant_audit import QdrantAudit, SeenPoint
from schemas.document import PROVENANCE, point_id
from tests.fakes.world import COLLECTION, World, world


@pytest.fixture
async def w() -> AsyncIterator[World]:
    async with world() as w:
        w.insert("A")
        await w.settle()
        yield w


async def seen(w: World) -> SeenPoint:
    [point] = await QdrantAudit.of(w.store).points_by_id(COLLECTION, [point_id("A")])
    return point


@pytest.mark.parametrize("version", [5, 1.5, None, "9"], ids=["integer", "fraction", "null", "text"])
async def test_a_point_that_is_as_it_was_seen_is_removed(w: World, version: object) -> None:
    await w.tamper("A", {"version": version}, PROVENANCE)
    await QdrantAudit.of(w.store).remove(COLLECTION, [await seen(w)])
    assert await w.ids() == set()


@pytest.mark.parametrize("version", [5, 1.5, None, "9"], ids=["integer", "fraction", "null", "text"])
async def test_a_point_that_was_written_meanwhile_is_left(w: World, version: object) -> None:
    await w.tamper("A", {"version": version}, PROVENANCE)
    before = await seen(w)
    await w.tamper("A", {"version": 6}, PROVENANCE)
    audit = QdrantAudit.of(w.store)
    await audit.remove(COLLECTION, [before])
    await audit.disown(COLLECTION, {"A": before.version})
    assert ((await w.payload("A")) or {})[PROVENANCE]["version"] == 6


async def test_a_disowned_point_stays_and_claims_nothing(w: World) -> None:
    before = (await w.payload("A")) or {}
    await QdrantAudit.of(w.store).disown(COLLECTION, {"A": (await seen(w)).version})
    after = (await w.payload("A")) or {}
    assert after == before | {PROVENANCE: before[PROVENANCE] | {"version": 0, "embedding_fingerprint": ""}}


async def test_a_point_at_the_id_of_no_row_has_no_key(w: World) -> None:
    payload = (await w.payload("A")) or {}
    await w.put(7, payload)
    await w.put(point_id("B"), payload)
    await w.put(point_id("C"), payload | {"article_id": ["C"]})
    points = [point async for page in QdrantAudit.of(w.store).points(COLLECTION, page=2) for point in page]
    assert {point.id: point.key for point in points} == {
        point_id("A"): "A",
        7: None,
        point_id("B"): None,
        point_id("C"): None,
    }
