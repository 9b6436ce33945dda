"""A wait that is given up does not harm the library whose answer it was for."""

import asyncio
from concurrent.futures import Future

import pytest

from connectors.kafka_futures import outcome


async def test_an_answer_from_another_thread_arrives() -> None:
    future: Future[int] = Future()
    waiting = outcome(future)
    await asyncio.to_thread(future.set_result, 7)
    assert await waiting == 7


async def test_an_error_arrives_too() -> None:
    future: Future[int] = Future()
    waiting = outcome(future)
    future.set_exception(ValueError("refused"))
    with pytest.raises(ValueError, match="refused"):
        await waiting


async def test_a_wait_that_timed_out_leaves_the_library_to_set_its_result() -> None:
    future: Future[int] = Future()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await outcome(future)
    assert not future.cancelled()
    future.set_exception(ValueError("too late"))  # raises where the future was cancelled
    await asyncio.to_thread(lambda: None)


def test_an_answer_after_the_end_of_the_loop_is_nobodys() -> None:
    future: Future[int] = Future()

    async def give_up() -> None:
        outcome(future)

    asyncio.run(give_up())
    future.set_result(7)
    assert future.result() == 7
