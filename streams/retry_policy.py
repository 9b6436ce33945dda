"""The only place that turns an error into a decision: hold, set aside or stop."""

import logging
from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import TypeVar

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, wait_random_exponential

from schemas.errors import ErrorKind, LockstepError
from streams.health import Health

logger = logging.getLogger(__name__)

FIRST_WAIT_SECONDS = 0.2
LONGEST_WAIT_SECONDS = 15.0

Result = TypeVar("Result")


class Verdict(StrEnum):
    """What becomes of the records that an error concerns."""

    HOLD = "hold"
    """Try again for as long as it takes: nothing is skipped, nothing becomes a dead letter."""
    SET_ASIDE = "set_aside"
    """The record becomes a dead letter, its neighbours go on."""
    STOP = "stop"
    """We do not know this error: end the process, so that nothing is acknowledged."""


def judge(error: BaseException) -> Verdict:
    """Decide by the error's kind. Anything that is not ours is unknown."""
    if not isinstance(error, LockstepError):
        return Verdict.STOP
    return Verdict.SET_ASIDE if error.kind is ErrorKind.PERMANENT else Verdict.HOLD


async def hold_until_done(attempt: Callable[[int], Awaitable[Result]], health: Health) -> Result:
    """Call `attempt(number)` until it returns, waiting with capped, jittered back-off while the verdict is HOLD.

    While it holds, `health` carries the reason. Raises whatever is not to be held.
    """

    def show(state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        if isinstance(error, LockstepError) and health.hold(error, by=retrying):
            logger.warning("holding until it passes", extra={"action": "hold", "error": str(error), "hint": error.hint})

    number = 0

    async def numbered() -> Result:
        nonlocal number
        number += 1
        return await attempt(number)

    retrying = AsyncRetrying(
        retry=retry_if_exception(lambda error: judge(error) is Verdict.HOLD),
        wait=wait_random_exponential(multiplier=FIRST_WAIT_SECONDS, max=LONGEST_WAIT_SECONDS),
        before_sleep=show,
        reraise=True,
    )
    try:
        return await retrying(numbered)
    finally:
        if held := health.release(by=retrying):
            logger.info("going on", extra={"action": "release", "held_seconds": round(held, 1)})
