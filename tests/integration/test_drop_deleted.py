"""Old deletes leave the changelog of a real broker, and stay away."""

import pytest

from streams.ports import TableEntry
from streams.topics import PARTITIONS
from tests.integration.test_recovery import Group, entry, group, ready, until

pytestmark = pytest.mark.stack

__all__ = ["group"]  # the fixture


async def test_old_deletes_are_gone_after_a_restart_and_what_came_back_is_not(group: Group) -> None:
    async with group.worker("one") as (app, table):
        await until(ready(app, PARTITIONS))
        gone = [TableEntry(partition=n % PARTITIONS, key=f"gone-{n}", row=entry(n + 1, None)) for n in range(60)]
        await table.put([*gone, TableEntry(partition=0, key="alive", row=entry(1))])
        assert await table.drop_deleted(1) == 60
        assert len(table) == 1
        await table.put([TableEntry(partition=3, key="gone-3", row=entry(99))])
        assert (b"gone-4", None) in await group.read(4)
    async with group.worker("two") as (app, table):
        await until(ready(app, PARTITIONS))
        assert len(table) == 2
        assert table.get("gone-3") == entry(99)
        assert table.recoveries == 1
