"""What is read of a worker's /metrics: totals, differences between two looks, and means."""

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.registry import Collector

from ops.bench.worker_stages import WorkDone, look
from schemas.errors import StackError
from streams import metrics
from streams.counters import Counters
from streams.stopwatch import Stage


class OfCounters(Collector):
    def __init__(self, counters: Counters) -> None:
        self.counters = counters

    def collect(self):  # type: ignore[no-untyped-def]
        yield metrics.RECORDS.value(self.counters.records)
        yield metrics.EMBEDDINGS_MADE.value(self.counters.embeddings_made)
        yield metrics.BATCH_SIZE.distributions([((), self.counters.batch_records)])
        yield metrics.BATCH_STAGE.distributions(((s.value,), spent) for s, spent in self.counters.stages.items())


def page(counters: Counters) -> str:
    registry = CollectorRegistry()
    registry.register(OfCounters(counters))
    return generate_latest(registry).decode()


def test_the_difference_of_two_looks_is_what_was_done_between_them() -> None:
    counters = Counters()
    counters.count_batch(200, {Stage.WRITE: 5.0, Stage.PLAN: 1.0})
    before = WorkDone.parse(page(counters))
    counters.count_batch(100, {Stage.WRITE: 0.25})
    counters.count_batch(50, {Stage.WRITE: 0.25, Stage.EMBED: 0.5})
    counters.embeddings_made = 7
    done = WorkDone.parse(page(counters)) - before
    assert (done.records, done.batches, done.embeddings, done.records_a_batch) == (150, 2, 7, 75)
    assert done.milliseconds_a_batch == {"embed": 250.0, "write": 250.0}  # plan took nothing in between


def test_stages_stand_in_their_own_order() -> None:
    counters = Counters()
    counters.count_batch(1, dict.fromkeys(reversed(Stage), 1.0))
    done = WorkDone.parse(page(counters))
    assert list(done.milliseconds_a_batch) == [stage.value for stage in Stage]


def test_nothing_done_has_no_means() -> None:
    nothing = WorkDone()
    assert nothing.records_a_batch == 0
    assert nothing.milliseconds_a_batch == {}


async def test_the_work_of_several_workers_adds_up() -> None:
    counters = Counters()
    counters.count_batch(10, {Stage.TABLE: 0.5})

    async def answer(_: web.Request) -> web.Response:
        return web.Response(text=page(counters))

    app = web.Application()
    app.router.add_get("/metrics", answer)
    async with TestServer(app) as server:
        address = str(server.make_url("")).rstrip("/")
        done = await look([address, address])
    assert (done.records, done.batches, done.seconds["table"]) == (20, 2, 1.0)


async def test_a_worker_that_does_not_answer_is_named() -> None:
    async with TestServer(web.Application()) as server:
        address = str(server.make_url("")).rstrip("/")
        with pytest.raises(StackError, match=f"worker {address} does not tell its metrics: .*404"):
            await look([address])
