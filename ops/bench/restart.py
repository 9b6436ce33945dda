"""How soon a worker is back: killed, or told to stop, and started again at once."""

import asyncio
import signal
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path

from qdrant_client import AsyncQdrantClient

from connectors.qdrant import open_client
from ops.bench.figures import BenchReport, Figure
from ops.bench.filled_table import catalogue_rows, fill_table, publish_as_captured
from ops.bench.history import DebeziumLog
from ops.bench.one_worker import WORKER, Start, one_worker, start_worker
from ops.bench.synthetic import KeyAndValue
from ops.devstack.stack import Say, Stack, all_at_once
from ops.settings import Settings
from schemas.document import point_id
from schemas.errors import BrokerError
from schemas.product import price_text

GOAL = "≤ 10"
PRICE = Decimal("12345.25")
"""No row of the catalogue has it."""
ENDINGS = (signal.SIGKILL, signal.SIGTERM)
LOOK_EVERY_SECONDS = 0.02
SHOWN_WITHIN_SECONDS = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Return:
    """Seconds until a worker is back. `shown_seconds` is until a search would find a change made while it was away."""

    ending_seconds: float
    """From the signal until the process was gone; what follows counts from there, where the next one starts."""
    start: Start
    shown_seconds: float

    @property
    def whole_seconds(self) -> float:
        """From the signal until the change is shown."""
        return self.ending_seconds + self.shown_seconds


async def run_restart(settings: Settings, home: Path, *, keys: int, rounds: int, seed: int, say: Say) -> BenchReport:
    """Measure both endings in turn, with a table that is filled through its changelog.

    Raises:
        LockstepError: A part cannot be started, or a change was not shown.
    """
    returns: dict[signal.Signals, list[Return]] = {ending: [] for ending in ENDINGS}
    # Each change is of a row of its own, the first one for the warm-up.
    changes = _price_changes(1 + len(ENDINGS) * rounds, seed)
    async with one_worker(settings, home, say=say) as stack:
        say(f"filling the table with {keys:,} keys")
        await fill_table(stack.settings, catalogue_rows(keys, seed))
        qdrant = stack.settings.qdrant
        async with open_client(qdrant.url, api_key=None, timeout_seconds=qdrant.timeout_seconds) as client:
            await start_worker(stack)
            await _publish_and_look(stack, client, next(changes))
            for number in range(rounds):
                for ending in ENDINGS if number % 2 == 0 else reversed(ENDINGS):
                    back = await _end_and_return(stack, client, ending, next(changes))
                    returns[ending].append(back)
                    say(f"{ending.name}: a change is shown {back.shown_seconds:.1f} s after the start")
    return BenchReport(
        scenario="restart",
        seed=seed,
        sizes={"keys": keys, "rounds": rounds},
        figures=tuple(figure for ending in ENDINGS for figure in figures(ending, returns[ending])),
        ratios=(),
        notes=(
            "The worker is started again, by the same name, as soon as its process is gone.",
            "The change is made while it starts, to a row that Qdrant does not have: it is embedded.",
            "Not counted: one start before the first round, to warm up.",
        ),
    )


def _price_changes(count: int, seed: int) -> Iterator[tuple[str, KeyAndValue]]:
    """So many keys, each with a record that gives it the price which is looked for."""
    log = DebeziumLog()
    for row in catalogue_rows(count, seed):
        yield row.article_id, log.record("u", replace(row, price=PRICE))


async def _end_and_return(
    stack: Stack, client: AsyncQdrantClient, ending: signal.Signals, change: tuple[str, KeyAndValue]
) -> Return:
    told = time.monotonic()
    await stack.kill(WORKER, ending)
    ended = time.monotonic()
    starts: list[Start] = []

    async def start() -> None:
        starts.append(await start_worker(stack))

    await all_at_once([start(), _publish_and_look(stack, client, change)])
    return Return(ending_seconds=ended - told, start=starts[0], shown_seconds=time.monotonic() - ended)


async def _publish_and_look(stack: Stack, client: AsyncQdrantClient, change: tuple[str, KeyAndValue]) -> None:
    """Return when the key's point has the price; this is the only change that the worker finds."""
    key, record = change
    await publish_as_captured(stack.settings.kafka.brokers, [record])
    try:
        async with asyncio.timeout(SHOWN_WITHIN_SECONDS):
            while not await _shown(stack, client, key):
                await asyncio.sleep(LOOK_EVERY_SECONDS)
    except TimeoutError as error:
        raise BrokerError(f"a change of {key} was not searchable after {SHOWN_WITHIN_SECONDS:.0f} s") from error


async def _shown(stack: Stack, client: AsyncQdrantClient, key: str) -> bool:
    points = await client.retrieve(stack.settings.qdrant.alias, ids=[point_id(key)], with_payload=["price_text"])
    return any((point.payload or {}).get("price_text") == price_text(PRICE) for point in points)


def figures(ending: signal.Signals, returns: Sequence[Return]) -> list[Figure]:
    """Of one ending, a value a round."""
    name = ending.name
    measured = (
        (f"{name}: until the process is gone", [back.ending_seconds for back in returns], None),
        (f"{name}: reading the table", [back.start.table_seconds for back in returns], None),
        (f"{name}: start until ready", [back.start.ready_seconds for back in returns], GOAL),
        (f"{name}: start until a change is shown", [back.shown_seconds for back in returns], GOAL),
        (f"{name}: signal until a change is shown", [back.whole_seconds for back in returns], GOAL),
    )
    return [Figure(name=what, unit="s", values=tuple(values), goal=goal) for what, values, goal in measured]
