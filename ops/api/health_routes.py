"""Health: `live` says that the process answers, `ready` asks every part it needs and names those that do not answer."""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from ops.api.operation import Call, Operation, Reply, Success
from ops.api.problems import RETRY_AFTER_SECONDS, ProblemError, ProblemPart, ProblemType
from ops.api.time_bound import ended
from schemas.errors import ErrorKind, LockstepError

logger = logging.getLogger(__name__)

CHECK_SECONDS = 2.0

Check = Callable[[], Coroutine[Any, Any, Any]]
"""Asks a part for something cheap; raises `LockstepError` when it does not answer as it must."""


class Live(BaseModel):
    """The process answers."""

    model_config = ConfigDict(frozen=True)

    live: Literal[True] = True


class Ready(BaseModel):
    """Every part answers."""

    model_config = ConfigDict(frozen=True)

    ready: Literal[True] = True
    parts: list[str]


def operations(checks: Mapping[str, Check], *, within_seconds: float = CHECK_SECONDS) -> tuple[Operation, ...]:
    """The two health checks; `checks` are the parts by name, asked side by side.

    Who asks while they are being asked waits for the same answers: anyone may, and must not keep the parts busy.
    """
    looking: asyncio.Task[list[str | None]] | None = None

    async def look() -> list[str | None]:
        return await asyncio.gather(*(_trouble(name, check, within_seconds) for name, check in checks.items()))

    async def live(_: Call[None, None, None]) -> Reply:
        return Reply(body=Live())

    async def ready(_: Call[None, None, None]) -> Reply:
        nonlocal looking
        if looking is None or looking.done():
            looking = asyncio.create_task(look())
        reasons = await asyncio.shield(looking)
        down = [
            ProblemPart(location="part", name=name, detail=reason)
            for name, reason in zip(checks, reasons, strict=True)
            if reason is not None
        ]
        if down:
            raise ProblemError(
                ProblemType.NOT_READY,
                f"down: {', '.join(part.name for part in down)}",
                headers={"Retry-After": str(RETRY_AFTER_SECONDS)},
                errors=down,
            )
        return Reply(body=Ready(parts=list(checks)))

    return (
        Operation(
            method="GET",
            path="/health/live",
            name="live",
            summary="Whether the process answers",
            tag="health",
            scope=None,
            handler=live,
            successes=(Success(description="It does.", model=Live),),
        ),
        Operation(
            method="GET",
            path="/health/ready",
            name="ready",
            summary="Whether every part it needs answers",
            description=(
                "The catalogue works while the search index or the broker is down, and the search while Postgres or "
                "the broker is: route by `live` to keep what works."
            ),
            tag="health",
            scope=None,
            handler=ready,
            successes=(Success(description="All do.", model=Ready),),
            problems=(ProblemType.NOT_READY,),
        ),
    )


async def _trouble(name: str, check: Check, within_seconds: float) -> str | None:
    asking = await ended(check(), within_seconds=within_seconds)
    if asking is None:
        return f"no answer within {within_seconds:g} seconds"
    try:
        asking.result()
    except LockstepError as error:
        logger.warning(
            "part down", extra={"action": "part_down", "part": name, "reason": str(error), "hint": error.hint}
        )
        # Not the error's own words: they name addresses, and anyone may ask.
        return "does not answer" if error.kind is ErrorKind.TRANSIENT else "refuses what is asked of it: see the log"
    return None
