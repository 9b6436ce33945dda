"""Parts are killed and poison is published; nothing is lost, and what was held goes on by itself."""

import signal

import orjson
import pytest

from ops.demo.catalogue import generate_products
from tests.e2e.conftest import WORKER, Running
from tests.fakes.pipeline import flat_row

pytestmark = pytest.mark.stack


async def test_promise_1_worker_killed_in_the_middle_of_a_load_loses_nothing(running: Running) -> None:
    live = await running.store.live_collection()
    await running.pipeline.settle()
    before = await running.store.count(live.name)
    drafts = [d for d in generate_products(400, seed=7)]
    await running.rows.copy_products(drafts)

    async def some_are_there() -> bool:
        return await running.store.count(live.name) > before

    await running.until(some_are_there)
    await running.stack.kill(WORKER, signal.SIGKILL)
    assert await running.store.count(live.name) < before + 400
    await running.stack.restart(WORKER)
    report = await running.reconcile()
    assert report.in_sync, report
    await running.sql("DELETE FROM products WHERE article_id = ANY($1)", [d.article_id for d in drafts])
    await running.pipeline.settle()
    assert await running.store.count(live.name) == before


async def test_outage_of_qdrant_is_not_poison(running: Running) -> None:
    key = await running.insert("before")
    await running.until_payload(key)
    letters = len(running.dead_letters())
    await running.stack.kill("qdrant", signal.SIGKILL)
    late = await running.insert("during")
    await running.sql("DELETE FROM products WHERE article_id = $1", key)

    async def held() -> bool:
        page = await running.worker("/health/ready")
        return page is not None and not page["ready"] and "held" in page["reason"]

    await running.until(held)
    assert (await running.worker("/health/live") or {})["live"]
    await running.stack.restart("qdrant")
    await running.until_payload(late)
    await running.until_gone(key)

    async def ready() -> bool:
        page = await running.worker("/health/ready")
        return page is not None and page["ready"]

    await running.until(ready)
    assert len(running.dead_letters()) == letters


async def test_worker_stops_in_seconds_while_it_is_held(running: Running) -> None:
    await running.stack.kill("qdrant", signal.SIGKILL)
    key = await running.insert("during")

    async def held() -> bool:
        page = await running.worker("/health/ready")
        return page is not None and not page["ready"]

    await running.until(held)
    await running.stack.kill(WORKER, signal.SIGTERM)
    assert not running.stack.is_running(WORKER)
    await running.stack.restart("qdrant")
    await running.stack.restart(WORKER)
    await running.until_payload(key)


async def test_outage_of_the_broker_shows_and_passes_by_itself(running: Running) -> None:
    await running.until_payload(await running.insert("before"))
    await running.pipeline.settle()
    await running.stack.kill("kafka", signal.SIGTERM)

    async def says_so() -> bool:
        page = await running.worker("/health/ready")
        return page is not None and not page["ready"] and "broker" in page["reason"]

    await running.until(says_so)
    await running.stack.restart("kafka")
    await running.until_payload(await running.insert("after"))

    async def ready() -> bool:
        page = await running.worker("/health/ready")
        return page is not None and page["ready"]

    await running.until(ready)


async def test_poison_is_set_aside_and_its_neighbours_are_applied(running: Running) -> None:
    good, poison = [], []
    for number, value in enumerate((b"{", b"[]", b'{"__op":"x"}', b'{"a":NaN}', b"\xff\xfe")):
        key = running.key(f"P{number}")
        # No partition of its own: these keys are known to this test only.
        row = flat_row(key, {"name": "neighbour"}) | {"__op": "c", "__deleted": "false", "__lsn": 1}
        running.publish(orjson.dumps({"article_id": key}), orjson.dumps(row))
        poison.append((running.publish(orjson.dumps({"article_id": running.key("bad")}), value), value))
        good.append(key)
    poison.append((running.publish(b"not json", b"{}"), b"{}"))
    for key in good:
        await running.until_payload(key, name="neighbour")
    for place, value in poison:
        letter = await running.until_dead_letter(place)
        assert letter["value"] == value
        assert letter["lockstep-error"]
    for key in good:
        running.publish(orjson.dumps({"article_id": key}), None)
        await running.until_gone(key)
