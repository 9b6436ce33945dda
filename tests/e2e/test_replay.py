"""Points that Qdrant lost come back from the topic, and nothing else changes."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from connectors.kafka import KafkaAdmin
from ops.replay import ReplayRange, ReplayReport, replay
from schemas.document import point_id
from schemas.errors import ReplayError
from streams.topics import PRODUCT_CHANGES
from tests.e2e.conftest import Running

pytestmark = pytest.mark.stack


async def run(running: Running, *, dry_run: bool = False, **asked: Any) -> ReplayReport:
    report = await replay(
        running.stack.settings,
        ReplayRange(**asked),
        now=datetime.now(UTC),
        dry_run=dry_run,
        say=lambda line: None,
    )
    assert report is not None
    return report


async def lose(running: Running, *keys: str) -> None:
    live = await running.store.live_collection()
    await running.store._client.delete(live.name, points_selector=[point_id(key) for key in keys], wait=True)


async def every_point(running: Running) -> dict[str | None, dict[str, Any]]:
    live = await running.store.live_collection()
    found: dict[str | None, dict[str, Any]] = {}
    async for keys in running.store.scroll_keys(live.name):
        found |= await running.store.payloads(live.name, [key for key in keys if key is not None])
    return found


async def test_replay_restores_what_is_missing_and_repeats_change_nothing(running: Running) -> None:
    lost = [await running.insert(f"lost{number}", price=Decimal(number)) for number in range(5)]
    deleted = await running.insert("deleted")
    stale = await running.insert("stale")
    for key in (*lost, deleted, stale):
        await running.until_payload(key)
    await running.sql("UPDATE products SET price = 77 WHERE article_id = $1", lost[0])
    await running.sql("DELETE FROM products WHERE article_id = $1", deleted)
    await running.pipeline.settle()
    before = await every_point(running)
    await lose(running, *lost)
    live = await running.store.live_collection()
    await running.store._client.set_payload(
        live.name, payload={"color": "of nobody"}, points=[point_id(stale)], wait=True
    )

    dry = await run(running, from_beginning=True, dry_run=True)
    assert (dry.progress.missing, dry.progress.embedded, dry.progress.reused) == (5, 5, 1)
    assert not set(lost) & (await every_point(running)).keys()

    report = await run(running, from_beginning=True)
    assert (report.progress.missing, report.progress.embedded, report.progress.reused) == (5, 5, 1)
    after = await every_point(running)
    assert after.keys() == before.keys()
    assert after[lost[0]]["price_text"] == "77.00"
    found = await running.reconcile()
    assert found.in_sync, found

    again = await run(running, from_beginning=True)
    assert again.progress.reused == again.progress.embedded == 0
    assert await every_point(running) == after


async def test_range_and_keys_choose_what_comes_back_and_later_changes_are_kept(running: Running) -> None:
    early = await running.insert("early")
    changed = await running.insert("changed", price=Decimal("1.00"))
    removed = await running.insert("removed")
    for key in (early, changed, removed):
        await running.until_payload(key)
    await running.pipeline.settle()
    async with KafkaAdmin(running.stack.settings.kafka.brokers) as admin:
        ends = {number: marks.high for number, marks in (await admin.watermarks(PRODUCT_CHANGES)).items()}
    between = datetime.now(UTC)
    late = await running.insert("late")
    await running.until_payload(late)
    await running.sql("UPDATE products SET price = 2 WHERE article_id = $1", changed)
    await running.sql("DELETE FROM products WHERE article_id = $1", removed)
    await running.until_gone(removed)
    await running.pipeline.settle()
    await lose(running, early, changed, late)

    await run(running, from_offsets=ends, keys=frozenset([late]))
    assert await running.payload(late) is not None
    assert await running.payload(changed) is None

    # The range ends before the update and the delete; the newest state is written all the same.
    await run(running, from_time=between - timedelta(minutes=5), until=between)
    assert (await running.until_payload(changed))["price_text"] == "2.00"
    assert await running.payload(removed) is None
    assert await running.payload(early) is not None


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"from_time": datetime.now(UTC) + timedelta(days=1)}, "it lies in the future"),
        ({"from_offsets": {0: 10**9}}, "the partition ends at"),
        ({"from_offsets": {99: 0}}, "has no partition 99"),
    ],
    ids=["future", "beyond the end", "unknown partition"],
)
async def test_range_that_cannot_be_is_refused(running: Running, asked: dict[str, Any], message: str) -> None:
    with pytest.raises(ReplayError, match=message):
        await run(running, **asked)
