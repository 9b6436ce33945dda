"""Dead letters on a Faust topic."""

import asyncio
from typing import Any

import pytest

from schemas.dead_letter import DeadLetter
from schemas.record import Place, Record
from streams.dead_letters import FaustDeadLetters
from tests.fakes.pipeline import NOW


class SlowTopic:
    """A Faust topic whose broker confirms when the test says so."""

    def __init__(self) -> None:
        self.sent: list[asyncio.Future[None]] = []

    async def send(self, **record: Any) -> asyncio.Future[None]:
        self.sent.append(asyncio.get_running_loop().create_future())
        return self.sent[-1]


def _letter(offset: int) -> DeadLetter:
    record = Record(place=Place(topic="t", partition=0, offset=offset), key=b"k", value=b"v", headers=())
    return DeadLetter(record=record, error_class="DecodeError", error="bad", attempts=1, set_aside_at=NOW)


async def _publishing(topic: SlowTopic, count: int) -> asyncio.Task[None]:
    task = asyncio.create_task(FaustDeadLetters(topic).publish([_letter(offset) for offset in range(count)]))
    async with asyncio.timeout(5):
        while len(topic.sent) < count:
            await asyncio.sleep(0)
    return task


async def test_promise_1_a_dead_letter_waits_for_the_broker() -> None:
    topic = SlowTopic()
    publishing = await _publishing(topic, 2)
    topic.sent[0].set_result(None)
    done, _ = await asyncio.wait({publishing}, timeout=0.05)
    assert not done, "its record would be acknowledged, and lost with the worker"
    topic.sent[1].set_result(None)
    await asyncio.wait_for(publishing, 5)


async def test_promise_1_a_dead_letter_that_the_broker_refuses_is_no_success() -> None:
    topic = SlowTopic()
    publishing = await _publishing(topic, 1)
    topic.sent[0].set_exception(ConnectionError("no"))
    with pytest.raises(ConnectionError):
        await publishing


async def test_a_wait_that_is_cancelled_leaves_what_was_sent_to_faust() -> None:
    topic = SlowTopic()
    publishing = await _publishing(topic, 1)
    publishing.cancel()
    await asyncio.wait({publishing})
    topic.sent[0].set_result(None)  # raises for a future that was cancelled
