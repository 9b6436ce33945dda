"""The changes that a latency is measured by: their pace, their kinds, and when one counts as shown."""

import asyncio
from collections.abc import Sequence
from decimal import Decimal
from random import Random
from types import SimpleNamespace
from typing import Any, cast

import pytest
from qdrant_client import AsyncQdrantClient

from connectors.postgres import Postgres
from ops.bench import live_changes
from ops.bench.live_changes import TEXTS_AMONG, LiveChanges
from schemas.document import PROVENANCE, point_id
from schemas.errors import BrokerError

FAST = 2000.0
"""Changes a second, so that a test lasts no longer than its work."""


class Pipeline:
    """Postgres and Qdrant in one: a change can be seen from `delay_looks` looks after its commit on."""

    def __init__(self, *, delay_looks: int = 0) -> None:
        self.delay_looks = delay_looks
        self.statements: list[tuple[str, str]] = []
        self.hidden: list[list[Any]] = []
        self.prices: dict[str, Decimal] = {}
        self.answers = asyncio.Event()
        self.answers.set()
        self.waiting = 0

    async def execute(self, statement: str, key: str, price: Decimal) -> None:
        self.waiting += 1
        await self.answers.wait()
        self.waiting -= 1
        assert key not in [hidden[1] for hidden in self.hidden], "changed again before it was shown"
        self.statements.append((statement, key))
        self.hidden.append([self.delay_looks, key, price])

    async def retrieve(self, alias: str, ids: Sequence[str], with_payload: Sequence[str]) -> list[SimpleNamespace]:
        assert alias == "products"
        for hidden in self.hidden:
            hidden[0] -= 1
        for _, key, price in (hidden for hidden in self.hidden if hidden[0] < 0):
            self.prices[point_id(key)] = price
        self.hidden = [hidden for hidden in self.hidden if hidden[0] >= 0]
        return [
            SimpleNamespace(id=i, payload={"price_text": str(self.prices[i]), PROVENANCE: {"source": i}})
            for i in ids
            if i in self.prices
        ]


def changes_of(pipeline: Pipeline, keys: int) -> LiveChanges:
    rows, client = cast(Postgres, pipeline), cast(AsyncQdrantClient, pipeline)
    return LiveChanges(rows, client, "products", [f"key-{number}" for number in range(keys)], Random(1), FAST)


async def run(changes: LiveChanges, pipeline: Pipeline, count: int) -> None:
    written, shown = asyncio.Event(), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        writing = group.create_task(changes.write(written))
        group.create_task(changes.look(shown))
        while len(pipeline.statements) < count:
            await asyncio.sleep(0)
        written.set()
        await writing
        shown.set()


async def test_every_change_is_shown_once_and_every_fifth_is_of_the_text() -> None:
    pipeline = Pipeline(delay_looks=1)
    changes = changes_of(pipeline, 500)
    await run(changes, pipeline, 50)
    assert len(changes.shown) == len(changes.milliseconds) == len(pipeline.statements)
    texts = ["name" in statement for statement, _ in pipeline.statements]
    assert texts == [number % TEXTS_AMONG == 0 for number in range(1, len(texts) + 1)]
    assert sum(shown.text for shown in changes.shown) == sum(texts)
    assert {shown.provenance["source"] for shown in changes.shown} == {point_id(key) for _, key in pipeline.statements}
    assert len(changes.keys) == 500


async def test_a_row_is_not_changed_again_before_its_change_is_shown() -> None:
    pipeline = Pipeline(delay_looks=2)
    changes = changes_of(pipeline, 3)
    await run(changes, pipeline, 12)  # the fake looks at it
    assert len(changes.shown) == len(pipeline.statements)


async def test_the_pace_does_not_wait_for_postgres() -> None:
    pipeline = Pipeline()
    pipeline.answers.clear()
    changes = changes_of(pipeline, 100)
    written, shown = asyncio.Event(), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        writing = group.create_task(changes.write(written))
        while pipeline.waiting < 20:
            await asyncio.sleep(0)
        written.set()
        pipeline.answers.set()
        await writing
        shown.set()
        await changes.look(shown)
    assert len(changes.shown) == len(pipeline.statements) >= 20


async def test_a_change_that_is_never_shown_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_changes, "SHOWN_WITHIN_SECONDS", 0.0)
    pipeline = Pipeline(delay_looks=1_000_000)
    with pytest.raises(ExceptionGroup) as raised:
        await run(changes_of(pipeline, 5), pipeline, 1_000_000)
    assert raised.group_contains(BrokerError, match=r"a change of key-\d was not searchable after 0 s")
