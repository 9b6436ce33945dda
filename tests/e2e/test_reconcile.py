"""Drift on the real pipeline: named, repaired through the log, and looked at again."""

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import orjson
import pytest
from typer.testing import CliRunner

from connectors.kafka import KafkaAdmin
from connectors.partitioner import partition_of_key
from ops.cli import app
from ops.dead_letter_retry import SetAside
from ops.reconcile.comparison import Comparison
from ops.reconcile.keeping import Keeping
from ops.reconcile.repair import Repair
from ops.reconcile.report import RepairReport
from ops.reconcile.tombstones import Tombstones
from ops.reconcile.vectors import VectorCheck, compare_vectors
from ops.settings import PREFIX
from ops.stores import open_embedders
from ops.sync_status import sync_status
from schemas.debezium import encode_key
from schemas.document import DENSE_VECTOR, PROVENANCE, SPARSE_VECTOR, point_id
from streams.topics import PARTITIONS
from tests.e2e.conftest import Running
from tests.fakes.pipeline import flat_row

pytestmark = pytest.mark.stack


@dataclass
class Tampering:
    """Does to the live collection what nobody should."""

    running: Running
    collection: str

    async def delete(self, *keys: str) -> None:
        ids = [point_id(key) for key in keys]
        await self.running.store._client.delete(self.collection, points_selector=ids, wait=True)

    async def set(self, key: str, payload: dict[str, Any], inside: str | None = None) -> None:
        await self.running.store._client.set_payload(
            self.collection, payload=payload, points=[point_id(key)], key=inside, wait=True
        )

    async def upsert(self, identity: str | int, payload: dict[str, Any], dense: float = 1.0) -> None:
        vector = {DENSE_VECTOR: [dense] * 384, SPARSE_VECTOR: {"indices": [1], "values": [1.0]}}
        points: Any = [{"id": identity, "vector": vector, "payload": payload}]
        await self.running.store._client.upsert(self.collection, points=points, wait=True)

    async def exists(self, *ids: str | int) -> bool:
        return bool(await self.running.store._client.retrieve(self.collection, ids=ids))


@pytest.fixture
async def tampering(running: Running) -> Tampering:
    return Tampering(running, (await running.store.live_collection()).name)


async def command(running: Running, *arguments: str) -> tuple[int, dict[str, Any]]:
    """`lockstep reconcile --json` as a person runs it: its exit code, and what it says."""

    def invoke() -> Any:
        environment = {f"{PREFIX}HOME": str(running.stack.home.path)}
        return CliRunner().invoke(app, ["reconcile", "--json", "--vectors", "0", *arguments], env=environment)

    result = await asyncio.to_thread(invoke)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, orjson.loads(result.stdout)


async def indexed(running: Running, *names: str) -> list[str]:
    """The keys of new rows that are searchable."""
    keys = [await running.insert(name) for name in names]
    for key in keys:
        await running.until_payload(key)
    return keys


def alive_in_the_log_alone(running: Running, name: str) -> str:
    """A key that topic and table believe to have a row: its delete was never captured."""
    key = running.key(name)
    value = flat_row(key, {}) | {"__op": "c", "__deleted": "false", "__lsn": 1, "__source_ts_ms": 1}
    encoded = encode_key(key)
    running.publish(encoded, orjson.dumps(value), partition_of_key(encoded, PARTITIONS))
    return key


async def test_promise_5_drift_is_named_and_repaired_even_by_a_run_after_one_that_was_killed(
    running: Running, tampering: Tampering
) -> None:
    missing, also_missing, recolored, robbed, ahead = await indexed(running, "a", "b👗", "c", "d", "e")
    believed, returning = alive_in_the_log_alone(running, "f"), alive_in_the_log_alone(running, "g")
    ghost, stray, nameless = running.key("ghost"), str(uuid4()), 7
    payload = await running.until_payload(believed)
    await running.until_payload(returning)
    await tampering.delete(missing, also_missing)
    await tampering.set(recolored, {"color": "another"})
    await tampering.upsert(point_id(robbed), {"article_id": robbed})
    await tampering.set(ahead, {"version": 2**49}, PROVENANCE)
    await tampering.set(ahead, {"price_text": "0.01"})
    await tampering.upsert(point_id(ghost), payload | {"article_id": ghost})
    await tampering.upsert(stray, payload | {"article_id": recolored})
    await tampering.upsert(nameless, {})

    code, would = await command(running, "--fix", "--dry-run")
    assert code == 1
    assert set(would["missing"]["examples"]) == {missing, also_missing}
    assert set(would["stale"]["examples"]) == {recolored, robbed, ahead}
    assert set(would["orphaned"]["examples"]) == {believed, returning, ghost, f"point {stray}", f"point {nameless}"}
    assert (would["repair"]["read_again"], would["repair"]["tombstones"], would["repair"]["removed"]) == (5, 3, 2)
    assert await tampering.exists(nameless)

    await kill_in_the_middle(running)
    await running.insert("g")
    code, repaired = await command(running, "--fix", "--yes")
    assert (code, repaired["repair"]["unrepaired"]) == (0, []), repaired
    assert not await tampering.exists(point_id(believed), point_id(ghost), stray, nameless)
    assert (await running.until_payload(ahead))["price_text"] is None
    assert (await running.until_payload(returning))["name"] == "Strap top g"

    before = await running.worker()
    code, again = await command(running, "--fix", "--yes")
    assert (code, again["in_sync"], again["repair"]) == (0, True, None)
    after = await running.worker()
    assert before is not None
    assert after is not None
    assert after["records"] == before["records"]
    last = Keeping(running.stack.home.path).last_run()
    assert last is not None
    assert last.good


async def kill_in_the_middle(running: Running) -> None:
    """Begin a repair, and kill it where tombstones have been noted and may have been written."""
    home = running.stack.home.path
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "ops.cli", "reconcile", "--fix", "--yes", "--vectors", "0"),
        env=os.environ | {f"{PREFIX}HOME": str(home)},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )

    async def noted() -> bool:
        return bool(Keeping(home).unfinished())

    await running.until(noted)
    process.send_signal(signal.SIGKILL)
    await process.wait()


async def repair(
    running: Running, find: Callable[[Comparison, VectorCheck], Awaitable[None]], settled: Callable[[], Awaitable[None]]
) -> RepairReport:
    """Repair what `find` adds to the findings; `settled` is called after each wait of the repair for the pipeline."""

    async def settle() -> None:
        await running.pipeline.settle()
        await settled()

    embedders = open_embedders(running.stack.settings)
    brokers = running.stack.settings.kafka.brokers
    comparison = await Comparison.of(running.rows, running.store, settle=running.pipeline.settle)
    check = VectorCheck(rows=running.rows, store=running.store, live=comparison.live, embedders=embedders)
    await find(comparison, check)
    async with KafkaAdmin(brokers) as admin:
        repair = Repair(
            rows=running.rows,
            store=running.store,
            audit=comparison.audit,
            live=comparison.live,
            log=Tombstones(brokers, admin),
            note=Keeping(running.stack.home.path),
            settle=settle,
            vectors=check,
            watch_dead_letters=lambda: SetAside.after_now(brokers),
            epoch=0,
        )
        await repair.run(comparison.findings)
    embedders.close()
    return repair.report


async def test_a_vector_that_is_not_its_texts_is_embedded_again(running: Running, tampering: Tampering) -> None:
    right, wrong = await indexed(running, "right", "wrong")
    await tampering.upsert(point_id(wrong), await running.payload(wrong) or {}, dense=0.5)

    async def find(comparison: Comparison, check: VectorCheck) -> None:
        comparison.sampled = [right, wrong]
        await compare_vectors(comparison, check)
        assert list(comparison.findings.drifted) == [wrong]

    async def nothing() -> None:
        """Nothing happens meanwhile."""

    report = await repair(running, find, nothing)
    assert (report.unrepaired, report.disowned, report.read_again) == ([], 1, 1)


async def test_a_row_that_comes_back_between_look_and_repair_is_not_harmed(running: Running) -> None:
    """Once before its tombstone is written, which is then void, and once just after."""
    before, after = alive_in_the_log_alone(running, "before"), alive_in_the_log_alone(running, "after")
    await running.until_payload(before)
    await running.until_payload(after)
    coming = ["after"]

    async def come() -> None:
        while coming:
            await running.insert(coming.pop())

    async def find(comparison: Comparison, _: VectorCheck) -> None:
        ids = [point_id(before), point_id(after)]
        for orphan in await comparison.audit.points_by_id(comparison.live.name, ids):
            comparison.findings.add_orphan(orphan)
        await running.insert("before")

    report = await repair(running, find, come)
    assert (report.unrepaired, report.tombstones, report.removed) == ([], 1, 0)
    assert (await running.until_payload(before))["name"] == "Strap top before"
    assert (await running.until_payload(after))["name"] == "Strap top after"


async def test_status_asks_every_part(running: Running) -> None:
    async with KafkaAdmin(running.stack.settings.kafka.brokers) as admin:
        status = await sync_status(running.stack.settings, running.rows, running.store, admin, within_seconds=20)
    assert status.unavailable == {}
    assert status.connector is not None
    assert status.connector.tasks == ["RUNNING"]
    assert status.slot is not None
    assert status.slot.active
