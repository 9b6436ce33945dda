"""`lockstep status` and `GET /sync/status` on the real stack: what is well is green, and what is down is red."""

import asyncio
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from connectors.kafka import KafkaAdmin
from ops.devstack.stack import Stack
from ops.devstack.stack_env import environment_of
from ops.settings import ConnectSettings, QdrantSettings, Settings
from ops.status.limits import Level
from ops.status.report import SyncStatus
from ops.stores import open_rows, open_store
from ops.sync_status import sync_status

pytestmark = pytest.mark.stack

PATIENCE_SECONDS = 30.0


async def ask(settings: Settings) -> SyncStatus:
    async with (
        open_rows(settings, connect_now=False) as rows,
        open_store(settings) as store,
        KafkaAdmin(settings.kafka.brokers) as admin,
    ):
        return await sync_status(settings, rows, store, admin)


async def until(settings: Settings, holds: Callable[[SyncStatus], bool]) -> SyncStatus:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not holds(found := await ask(settings)):
            await asyncio.sleep(0.2)
    return found


def levels(found: SyncStatus) -> dict[str, Level]:
    return {line.part: line.level for line in found.lines}


async def test_every_part_of_a_stack_that_is_well_is_told_and_green(stack: Stack) -> None:
    settings = stack.settings
    async with open_rows(settings) as rows:
        await rows.execute(
            "INSERT INTO products (article_id, name) VALUES ('status-1', 'a red coat') ON CONFLICT DO NOTHING"
        )
    found = await until(settings, lambda found: _lag(found) == 0 and not _pressing(found))
    assert found.unavailable == {}
    assert found.lag is not None
    assert found.lag.oldest_waiting_at is None
    assert found.lag.newest_indexed_at is not None
    [worker] = found.workers
    assert worker.error is None
    assert worker.partitions == [of.partition for of in found.lag.partitions]
    assert found.group is not None
    assert {of.name: of.partitions for of in found.group.members}[worker.name or ""] == worker.partitions
    assert found.work is not None
    assert found.work.table_entries >= 1
    assert found.slot is not None
    assert found.slot.held_back_bytes is not None


async def test_the_command_prints_the_same_model_and_exits_well(stack: Stack, tmp_path: Path) -> None:
    # The directory holds the last reconciliation: another test's may have found a difference.
    settings = stack.settings.model_copy(update={"home": tmp_path})
    await until(settings, lambda found: found.level is not Level.RED and _lag(found) == 0)
    for arguments in (("--json",), ()):
        run = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "ops.cli",
            "status",
            *arguments,
            env=environment_of(settings) | {"COLUMNS": "80", "PYTHONPATH": os.getcwd()},
            cwd=tmp_path,
            stdout=asyncio.subprocess.PIPE,
        )
        output, _ = await run.communicate()
        assert run.returncode == 0, output.decode()
        if arguments:
            told = SyncStatus.model_validate_json(output)
            assert told.level is not Level.RED
            assert told.unavailable == {}
        else:
            assert max(map(len, output.decode().splitlines())) <= 80


async def test_parts_that_are_down_are_red_and_do_not_hide_the_others(stack: Stack) -> None:
    nowhere = "http://127.0.0.1:1"
    settings = stack.settings.model_copy(
        update={
            "connect": ConnectSettings(url=nowhere),
            "qdrant": QdrantSettings(url=nowhere),
            "status": stack.settings.status.model_copy(update={"workers": nowhere}),
        }
    )
    found = await ask(settings)
    assert set(found.unavailable) == {"connector", "index"}
    assert found.level is Level.RED
    red = {part for part, level in levels(found).items() if level is Level.RED}
    assert red >= {"connector", "index", "127.0.0.1:1"}
    assert levels(found)["slot"] is Level.GREEN
    assert found.lag is not None
    assert found.rows is not None


def _lag(found: SyncStatus) -> int | None:
    return found.lag.lag_records if found.lag else None


def _pressing(found: SyncStatus) -> set[str]:
    """The parts that are not green, but for those in which other tests may have left something."""
    return {part for part, level in levels(found).items() if level is not Level.GREEN} - {
        "dead letters",
        "rows",
        "reconcile",
    }
