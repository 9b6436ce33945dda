"""What goes on beside a block ends with it, and fails aloud."""

import asyncio
import logging

import pytest

from ops.beside import beside


async def test_work_ends_with_the_block() -> None:
    seen: list[str] = []
    begun = asyncio.Event()

    async def work() -> None:
        try:
            begun.set()
            await asyncio.Event().wait()
        finally:
            seen.append("ended")

    async with beside(work()):
        await begun.wait()
    assert seen == ["ended"]


async def test_work_that_fails_is_said_at_once_and_the_block_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    async def work() -> None:
        raise RuntimeError("a bug")

    async with beside(work()):
        while not caplog.records:
            await asyncio.sleep(0)
        [record] = caplog.records
        assert (record.levelno, record.getMessage()) == (logging.ERROR, "background work ended")
        assert record.exc_info is not None
        assert str(record.exc_info[1]) == "a bug"
