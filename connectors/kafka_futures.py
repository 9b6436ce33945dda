"""Waits for what librdkafka will answer, in a way that may be given up."""

import asyncio
from concurrent.futures import Future
from contextlib import suppress
from typing import TypeVar

Result = TypeVar("Result")


def outcome(future: Future[Result]) -> asyncio.Future[Result]:
    """The library's future as one of the running loop; to cancel it leaves the library's alone.

    With `asyncio.wrap_future` a time-out cancels that too. The library then sets its result all the same, its thread
    does not survive the error, and the client never answers again.
    """
    loop = asyncio.get_running_loop()
    waiting: asyncio.Future[Result] = loop.create_future()

    def pass_on() -> None:
        if waiting.done():
            return
        if (error := future.exception()) is not None:
            waiting.set_exception(error)
        else:
            waiting.set_result(future.result())

    def tell(_: Future[Result]) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits
            loop.call_soon_threadsafe(pass_on)

    future.add_done_callback(tell)
    return waiting
