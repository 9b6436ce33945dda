"""The collection is made anew while rows change and searches go on, and a rebuild is killed and run again."""

import asyncio
import random
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from connectors.kafka import KafkaAdmin
from ops.devstack.stack_env import environment_of
from ops.rebuild import RebuildReport, rebuild, rollback
from ops.reconcile import reconcile
from ops.replay import ReplayRange, replay
from ops.search import search
from ops.settings import Settings
from ops.stores import open_embedders, open_store
from schemas.collection import Hnsw, Phase
from schemas.errors import ReplayError, SettingsError
from schemas.recipe import OFFLINE_MODEL, Recipe, SparseRecipe
from schemas.search import Filters, SearchQuery
from streams.topics import DECLARATIONS, PRODUCT_CHANGES
from tests.contract.qdrant_server import Endpoint
from tests.e2e.conftest import WORKER, Running

pytestmark = pytest.mark.stack

SMALL = Recipe(
    model=f"{OFFLINE_MODEL}@256",
    dimensions=256,
    text_columns=("product_type", "name", "description"),
    separator=" | ",
    sparse=SparseRecipe(avg_len=20.0),
)
STABLE = 12


@asynccontextmanager
async def live_writes(running: Running, block: str) -> AsyncIterator[None]:
    """Rows come, change, lose their key and go for as long as the block lasts; its name is part of their keys."""
    done = asyncio.Event()
    chance = random.Random(running.prefix)
    keys: list[str] = []

    async def write() -> None:
        for number in count():
            if done.is_set():
                return
            match chance.randrange(5) if len(keys) > 3 else 0:
                case 0:
                    keys.append(await running.insert(f"L{block}-{number}", name=f"wool hat {number}"))
                case 1:
                    await running.sql(
                        "UPDATE products SET price = $2 WHERE article_id = $1", chance.choice(keys), number
                    )
                case 2:
                    await running.sql(
                        "UPDATE products SET name = $2 WHERE article_id = $1",
                        chance.choice(keys),
                        f"silk scarf {number}",
                    )
                case 3:
                    key = keys.pop(chance.randrange(len(keys)))
                    await running.sql("DELETE FROM products WHERE article_id = $1", key)
                case _:
                    old = keys.pop(chance.randrange(len(keys)))
                    keys.append(running.key(f"K{block}-{number}"))
                    await running.sql("UPDATE products SET article_id = $2 WHERE article_id = $1", old, keys[-1])
            await asyncio.wait({stopping}, timeout=0.1)

    stopping = asyncio.create_task(done.wait())
    writing = asyncio.create_task(write())
    try:
        yield
    finally:
        done.set()
        await writing
        await stopping


@asynccontextmanager
async def searches(running: Running) -> AsyncIterator[list[str]]:
    """Someone who searches for rows that do not change: every answer must have all of them. Gives the collections."""
    for number in range(STABLE):
        await running.insert(f"S{number}", name=f"linen shirt {number}", color=running.prefix)
    await running.pipeline.settle()
    wanted = {running.key(f"S{number}") for number in range(STABLE)}
    query = SearchQuery(text="linen shirt", filters=Filters(color=running.prefix), limit=50)
    embedders = open_embedders(running.stack.settings)
    done = asyncio.Event()
    asked: list[str] = []

    async def ask() -> None:
        while not done.is_set():
            asked.append((await running.store.live_collection()).name)
            assert {hit.article_id for hit in await search(running.store, embedders, query)} == wanted

    asking = asyncio.create_task(ask())
    try:
        yield asked
    finally:
        done.set()
        await asking
        embedders.close()


async def drop_others(running: Running) -> None:
    for state in await running.store.collections.all():
        if not state.live:
            await running.store.collections.drop(state.name)


async def test_promise_4_rebuild_with_a_new_model_and_rollback_are_not_seen_by_searches(running: Running) -> None:
    settings = running.stack.settings
    first = await running.store.live_collection()
    restarts: list[asyncio.Task[tuple[str, ...]]] = []

    async def kill_worker() -> tuple[str, ...]:
        await running.stack.kill(WORKER, signal.SIGKILL)
        return await running.stack.start_workers()

    def say(line: str) -> None:
        if line.endswith("is live"):
            restarts.append(asyncio.create_task(kill_worker()))

    async with searches(running) as asked:
        async with live_writes(running, "rebuild"):
            report = await rebuild(settings, recipe=SMALL, say=say)
            assert isinstance(report, RebuildReport)
            await asyncio.gather(*restarts)
        live = await running.store.live_collection()
        assert (live.name, live.recipe) == (report.collection, SMALL)
        assert report.replaced == first.name
        found = await running.reconcile()
        assert found.in_sync, found
        assert {first.name, live.name} <= set(asked)

        async with live_writes(running, "rollback"):
            back = await rollback(settings, say=lambda line: None)
        assert isinstance(back, RebuildReport)
        assert await running.store.live_collection() == first
        found = await running.reconcile()
        assert found.in_sync, found
    phases = {state.name: state.phase for state in await running.store.collections.all()}
    assert phases[first.name] is Phase.COMPLETE
    assert phases[live.name] is Phase.KEPT
    await drop_others(running)


async def test_rebuild_killed_in_each_phase_goes_on_where_it_was(running: Running) -> None:
    for number in range(20):
        await running.insert(f"A{number}")
    gone = await running.insert("gone")
    await running.until_payload(gone)
    before = await running.store.live_collection()
    await kill_rebuild(running, "filling")
    # The killed run may have written it; the next one must not keep it.
    await running.sql("DELETE FROM products WHERE article_id = $1", gone)
    await running.until_gone(gone)
    await kill_rebuild(running, "comparing")
    assert (await running.store.live_collection()).name == before.name
    await kill_rebuild(running, "is live")
    [unfinished] = [state for state in await running.store.collections.all() if state.live]
    assert (unfinished.name != before.name, unfinished.phase) == (True, Phase.FOLLOWING)

    report = await rebuild(running.stack.settings, say=lambda said: None)
    assert report is not None
    assert (report.collection, report.progress.embedded) == (unfinished.name, 0)
    states = await running.store.collections.all()
    assert [(state.name, state.live, state.phase) for state in states] == [
        (before.name, False, Phase.KEPT),
        (report.collection, True, Phase.COMPLETE),
    ]
    found = await running.reconcile()
    assert found.in_sync, found
    await drop_others(running)


async def test_other_qdrant_is_filled_though_the_topic_lost_its_records(running: Running, tmp_path: Path) -> None:
    settings = running.stack.settings
    await running.insert("kept")
    gone = await running.insert("gone")
    await running.until_payload(gone)
    await running.sql("DELETE FROM products WHERE article_id = $1", gone)
    await running.pipeline.settle()
    async with KafkaAdmin(settings.kafka.brokers) as admin:
        await lose_records(running, admin)
        with pytest.raises(ReplayError, match="its older records were deleted by retention"):
            await rebuild(settings, say=lambda said: None)
        await admin.apply(DECLARATIONS)
    with pytest.raises(ReplayError, match=r"history is gone: .* rows have no record"):
        await rebuild(settings, say=lambda said: None)
    await drop_others(running)

    async with running.rows.alone(f"lockstep collections of {settings.qdrant.alias}"):
        with pytest.raises(ReplayError, match="another rebuild or rollback of products is running"):
            await rebuild(settings, say=lambda said: None)

    raised = settings.model_copy(update={"worker": settings.worker.model_copy(update={"epoch": 1})})
    with pytest.raises(SettingsError, match="LOCKSTEP_WORKER_EPOCH is 1, and the workers' is 0"):
        await rebuild(raised, say=lambda said: None)

    other = Endpoint(tmp_path / "qdrant")
    other.start()
    try:
        asked = Hnsw(m=24, ef_construct=64)
        report = await rebuild(settings, target_url=other.url, from_snapshot=True, hnsw=asked, say=lambda said: None)
        assert report is not None
        assert (report.progress.embedded, report.moved, report.replaced) == (0, True, None)
        await running.insert("later")
        await running.pipeline.settle()
        async with open_store(at(settings, other.url)) as store:
            [state] = await store.collections.all()
            assert (state.name, state.live, state.phase) == (report.collection, True, Phase.COMPLETE)
            assert (state.hnsw, state.recipe) == (asked, (await running.store.live_collection()).recipe)
            # What workers apply before they have the new address is brought by a replay.
            await replay(
                at(settings, other.url), ReplayRange(from_beginning=True), now=datetime.now(UTC), say=lambda said: None
            )
            found = await reconcile(running.rows, store, settle=running.pipeline.settle)
            assert found.in_sync, found
    finally:
        other.stop()
    assert (await running.reconcile()).in_sync


def at(settings: Settings, url: str) -> Settings:
    return settings.model_copy(update={"qdrant": settings.qdrant.model_copy(update={"url": url})})


async def lose_records(running: Running, admin: KafkaAdmin) -> None:
    """What retention does: every record that the topic has by now is gone."""
    [source] = [declaration for declaration in DECLARATIONS if declaration.name == PRODUCT_CHANGES]
    await admin.apply([replace(source, config=source.config | {"cleanup.policy": "compact,delete"})])
    marks = await admin.watermarks(PRODUCT_CHANGES)
    ends = [TopicPartition(PRODUCT_CHANGES, number, mark.high) for number, mark in marks.items()]
    client = AdminClient({"bootstrap.servers": running.stack.settings.kafka.brokers})
    await asyncio.gather(*(asyncio.wrap_future(deletion) for deletion in client.delete_records(ends).values()))


async def kill_rebuild(running: Running, line: str) -> None:
    """Start the command, and kill it once it has said this."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "ops.cli", "rebuild", "--yes"),
        env=environment_of(running.stack.settings),
        stderr=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
    )
    assert process.stderr is not None
    async for text in process.stderr:
        if line in text.decode():
            process.kill()
            break
    assert await process.wait() == -signal.SIGKILL
