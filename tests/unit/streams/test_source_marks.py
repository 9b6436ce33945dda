"""When the check of the source topic counts: at the end of a recovery of the generation that is."""

from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest
from faust.types import TP

from streams.source_marks import Verification, verify_source_at_recovery

CHANGELOG, SOURCE = "changelog", "source"


class Worker:
    """Faust's part, and a guard that finds the topic in order; `overtake` begins a rebalance while it looks."""

    def __init__(self) -> None:
        self.overtake = False
        self.recover: Callable[[], Awaitable[None]] | None = None
        self.app: Any = SimpleNamespace(
            consumer_generation_id=1,
            tables=SimpleNamespace(recovery=SimpleNamespace(_generation_id=1)),
            assignor=SimpleNamespace(assigned_actives=lambda: {TP(CHANGELOG, 0)}),
            consumer=SimpleNamespace(assignment=lambda: {TP(SOURCE, 0)}),
            timer=lambda seconds: lambda function: function,
        )
        self.table: Any = SimpleNamespace(
            changelog_topic=SimpleNamespace(get_topic_name=lambda: CHANGELOG), on_recover=self._on_recover
        )

    def _on_recover(self, callback: Callable[[], Awaitable[None]]) -> None:
        self.recover = callback

    async def check(self, partitions: object, read_from: object) -> str:
        if self.overtake:
            self.app.consumer_generation_id += 1
        return "the topic"

    def verify(self) -> Verification:
        def stop(error: Exception) -> Any:
            raise AssertionError(error)

        guard: Any = SimpleNamespace(check=self.check)
        return verify_source_at_recovery(self.app, self.table, guard, topic=SOURCE, stop=stop)


@pytest.fixture
def worker() -> Worker:
    return Worker()


async def recovered(worker: Worker) -> Verification:
    verification = worker.verify()
    assert worker.recover is not None
    await worker.recover()
    return verification


async def test_recovery_verifies_its_generation(worker: Worker) -> None:
    assert (await recovered(worker)).generation == 1


async def test_recovery_that_a_rebalance_overtook_verifies_nothing(worker: Worker) -> None:
    worker.app.consumer_generation_id = 2
    assert (await recovered(worker)).generation is None


async def test_generation_that_ends_while_the_topic_is_looked_at_is_not_verified(worker: Worker) -> None:
    worker.overtake = True
    assert (await recovered(worker)).generation is None
