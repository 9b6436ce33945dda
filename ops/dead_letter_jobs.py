"""Retries of dead letters in the background, and the open letters at hand, for a server."""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Protocol

from pydantic import BaseModel, Field

from connectors.kafka import Watermarks
from connectors.postgres import Postgres
from connectors.qdrant import QdrantStore
from ops.catch_up import Pipeline
from ops.dead_letter_retry import SetAside, plan_retry, retry_rows
from ops.dead_letters import FoundLetter, Selection, find_letters, key_text, resolve
from ops.settings import Settings
from schemas.dead_letter import ResolvedBy
from schemas.errors import LockstepError
from schemas.record import Place
from streams.topics import DEAD_LETTERS

logger = logging.getLogger(__name__)

REMEMBERED = 20
MOST_AT_ONCE = 4


class RetryState(StrEnum):
    """What became of a retry."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Retry(BaseModel):
    """A retry of one dead letter: Debezium reads its row again."""

    place: str
    state: RetryState
    started_at: datetime
    finished_at: datetime | None = None
    outcome: str | None = Field(default=None, description="What became of the row; null until the end.")
    resolved: bool = Field(default=False, description="Whether the letter is open no more.")
    error: str | None = Field(default=None, description="Why it did not come to its end.")


class RetryResult(BaseModel):
    """What came of the row, in words, and whether that resolves the letter."""

    outcome: str
    resolved: bool


class RetryRefusedError(Exception):
    """The letter cannot be retried, now or ever; the message says why."""


class Broker(Protocol):
    """What is asked of the broker each time."""

    async def watermarks(self, topic: str) -> Mapping[int, Watermarks]:
        """Low and high watermark of each partition."""
        ...


class LettersAtHand:
    """The open dead letters. The topic is read again only when something was added to it."""

    def __init__(self, brokers: str, broker: Broker) -> None:
        self._brokers = brokers
        self._broker = broker
        self._marks: Mapping[int, Watermarks] | None = None
        self._open: tuple[FoundLetter, ...] = ()
        self._reading = asyncio.Lock()

    async def read(self) -> tuple[FoundLetter, ...]:
        """All of them, the oldest first. Raises `BrokerError`."""
        async with self._reading:
            marks = await self._broker.watermarks(DEAD_LETTERS)
            if marks != self._marks:
                letters = (await find_letters(self._brokers, Selection())).letters()
                self._open = tuple(found for found in letters if found.resolution is None)
                # Those of before it was read: what came meanwhile may be missing.
                self._marks = marks
            return self._open


class LetterRetries:
    """The retries of one process: a few at once, each place once, the last twenty remembered."""

    def __init__(self, run: Callable[[FoundLetter], Awaitable[RetryResult]]) -> None:
        self._run = run
        self._retries: OrderedDict[Place, Retry] = OrderedDict()
        self._tasks: dict[Place, asyncio.Task[None]] = {}

    def start(self, found: FoundLetter) -> Retry:
        """Begin, and say so at once.

        Raises:
            RetryRefusedError: It is running already, too many are, or no row can be read again for the letter.
        """
        if found.place in self._tasks:
            raise RetryRefusedError("it is being retried already")
        if len(self._tasks) >= MOST_AT_ONCE:
            raise RetryRefusedError(f"{MOST_AT_ONCE} others are being retried: wait for one of them")
        if refusal := refusal_of(found):
            raise RetryRefusedError(refusal)
        retry = Retry(place=str(found.place), state=RetryState.RUNNING, started_at=datetime.now(UTC))
        self._retries[found.place] = retry
        self._retries.move_to_end(found.place)
        while len(self._retries) > REMEMBERED:
            self._retries.popitem(last=False)
        self._tasks[found.place] = task = asyncio.create_task(self._work(found, retry))
        task.add_done_callback(lambda _: self._tasks.pop(found.place, None))
        return retry.model_copy()

    def remembered(self) -> list[Retry]:
        """The newest first."""
        return [retry.model_copy() for retry in reversed(self._retries.values())]

    async def ended(self) -> None:
        """Wait until none runs."""
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def close(self) -> None:
        """End those that run. A letter whose row was read again meanwhile stays open, and may be retried."""
        for task in self._tasks.values():
            task.cancel()
        await self.ended()

    async def _work(self, found: FoundLetter, retry: Retry) -> None:
        try:
            result = await self._run(found)
            retry.state, retry.outcome, retry.resolved = RetryState.DONE, result.outcome, result.resolved
        except LockstepError as error:
            retry.state, retry.error = RetryState.FAILED, str(error)
            logger.warning("retry failed", extra={"action": "retry_failed", "place": retry.place, "error": str(error)})
        except asyncio.CancelledError:
            retry.state = RetryState.CANCELLED
            raise
        except Exception:  # nobody awaits this task: whoever asks for the retry is told
            retry.state, retry.error = RetryState.FAILED, "an unknown error: see the log"
            logger.exception("retry failed", extra={"action": "retry_failed", "place": retry.place})
        finally:
            retry.finished_at = datetime.now(UTC)


def refusal_of(found: FoundLetter) -> str | None:
    """Why the letter can never be retried; None when it can."""
    refused = plan_retry([found]).refused
    return refused[0].reason if refused else None


async def retry_letter(settings: Settings, rows: Postgres, store: QdrantStore, found: FoundLetter) -> RetryResult:
    """Have the letter's row read again, wait until something came of it, and resolve the letter if that is right.

    Raises:
        LockstepError: As `ops.dead_letter_retry.retry_rows` says.
    """
    key = key_text(found.letter.record) or ""
    async with Pipeline.open(settings) as pipeline:
        set_aside = await SetAside.after_now(settings.kafka.brokers)
        results = await retry_rows([key], rows=rows, store=store, settle=pipeline.settle, set_aside=set_aside.places)
    result = results[key]
    if result.outcome.is_right:
        await resolve(settings.kafka.brokers, [found], ResolvedBy.RETRIED, now=datetime.now(UTC))
    outcome = f"{result.outcome} at {result.place}" if result.place else str(result.outcome)
    return RetryResult(outcome=outcome, resolved=result.outcome.is_right)
