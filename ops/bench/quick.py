"""A minute of ratios, to see from run to run whether the worker becomes slower or larger than what it is made of."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import cycle, islice
from pathlib import Path

import orjson
from qdrant_client import AsyncQdrantClient, models

from connectors.dense_encoder import DenseEncoder, load_dense_encoder
from connectors.qdrant import open_client
from ops.bench.figures import BenchReport, Ratio
from ops.bench.filled_table import catalogue_rows, fill_table, publish_as_captured
from ops.bench.history import history
from ops.bench.one_worker import WORKER, memory_of_worker, one_worker, pace, start_worker, until_all_applied
from ops.bench.synthetic import price_updates, publish
from ops.devstack.stack import Say, Stack
from ops.settings import Settings
from schemas.document import point_id
from schemas.product import Product
from schemas.recipe import Recipe

KEYS = 30_000
CHANGED_KEYS = 1000
WRITES_A_REQUEST = 200
"""As many as a batch of the worker."""

Measure = Callable[[], Awaitable[float]]
"""Gives how many a second."""

TEXTS, PRICES, MEMORY = "texts, by the model alone", "prices, by bare writes", "table's memory, by its bytes"


async def run_quick(
    settings: Settings, home: Path, *, texts: int, changes: int, rounds: int, seed: int, say: Say
) -> BenchReport:
    """Measure on a stack of its own: a broker, Qdrant and one worker.

    Raises:
        LockstepError: A part cannot be started, or the worker does not get through.
    """
    recipe, embedding, qdrant = Recipe(), settings.embedding, settings.qdrant
    by_texts: list[float] = []
    by_prices: list[float] = []
    async with one_worker(settings, home, say=say) as stack:
        memory = await _memory(stack, seed)
        say(f"{MEMORY}: {memory:.2f}")
        model = load_dense_encoder(recipe.model, threads=embedding.threads, batch_size=embedding.batch_size)
        url = stack.settings.qdrant.url
        async with open_client(url, api_key=None, timeout_seconds=qdrant.timeout_seconds) as client:
            sides = _Sides(stack=stack, client=client, model=model, recipe=recipe)
            await sides.index_the_keys()
            for number in range(rounds + 1):
                rows = list(catalogue_rows(texts, seed, start=number * texts))
                by_texts.append(
                    await ratio_of(number, partial(sides.texts_by_worker, rows), partial(sides.texts_by_model, rows))
                )
                by_prices.append(
                    await ratio_of(
                        number, partial(sides.prices_by_worker, changes), partial(sides.prices_by_client, changes)
                    )
                )
                say(f"{TEXTS}: {by_texts[-1]:.2f}; {PRICES}: {by_prices[-1]:.2f}")
    return BenchReport(
        scenario="quick",
        seed=seed,
        sizes={"keys": KEYS, "texts": texts, "price changes": changes, "rounds": rounds},
        figures=(),
        ratios=(
            Ratio(name=TEXTS, values=tuple(by_texts[1:])),
            Ratio(name=PRICES, values=tuple(by_prices[1:])),
            Ratio(name=MEMORY, values=(memory,)),
        ),
        notes=(
            "Rates of one worker, by those of the model and of Qdrant's client alone on the same work, without the "
            "guards. A first round is a warm-up, and not counted.",
        ),
    )


async def _memory(stack: Stack, seed: int) -> float:
    """What the worker takes for its table, by the bytes of keys and entries; it is left running."""
    await start_worker(stack)
    empty = memory_of_worker(stack).now
    await stack.kill(WORKER)
    size = await fill_table(stack.settings, catalogue_rows(KEYS, seed))
    await start_worker(stack)
    return (memory_of_worker(stack).now - empty) * 1_000_000 / size


async def ratio_of(number: int, worker: Measure, other: Measure) -> float:
    """The rate of one by that of the other; the order is swapped each round."""
    if number % 2:
        rate = await other()
        return await worker() / rate
    return await worker() / await other()


@dataclass(slots=True, kw_only=True)
class _Sides:
    """Each gives how many a second."""

    stack: Stack
    client: AsyncQdrantClient
    model: DenseEncoder
    recipe: Recipe
    _published: int = field(init=False, default=0)

    async def index_the_keys(self) -> None:
        """Those whose prices change."""
        await self._publish_prices(CHANGED_KEYS)
        await until_all_applied(self.stack)

    async def texts_by_worker(self, rows: Sequence[Product]) -> float:
        """Rows that Qdrant does not have, from before they are published until the last commit."""
        started = time.monotonic()
        await publish_as_captured(self.stack.settings.kafka.brokers, history(rows, len(rows), seed=0))
        await until_all_applied(self.stack)
        return len(rows) / (time.monotonic() - started)

    async def texts_by_model(self, rows: Sequence[Product]) -> float:
        """The same rows' distinct texts."""
        started = time.monotonic()
        await asyncio.to_thread(self.model.encode, list(dict.fromkeys(map(self.recipe.render, rows))))
        return len(rows) / (time.monotonic() - started)

    async def prices_by_worker(self, changes: int) -> float:
        """From when all are published until the last commit."""
        await self._publish_prices(changes)
        return await pace(self.stack)

    async def prices_by_client(self, changes: int) -> float:
        """As many payloads written to the same points, a batch a request."""
        alias = self.stack.settings.qdrant.alias
        ids = [point_id(orjson.loads(key)["article_id"]) for key, _ in price_updates(CHANGED_KEYS, range(CHANGED_KEYS))]
        payloads = {str(p.id): p.payload or {} for p in await self.client.retrieve(alias, ids=ids, with_payload=True)}
        points = islice(cycle(payloads.items()), changes)
        started = time.monotonic()
        while operations := [_overwrite(*point) for point in islice(points, WRITES_A_REQUEST)]:
            await self.client.batch_update_points(alias, update_operations=operations, wait=True)
        return changes / (time.monotonic() - started)

    async def _publish_prices(self, count: int) -> None:
        numbers = range(self._published, self._published + count)
        self._published += count
        await publish(self.stack.settings.kafka.brokers, price_updates(CHANGED_KEYS, numbers))


def _overwrite(identity: str, payload: dict[str, object]) -> models.OverwritePayloadOperation:
    return models.OverwritePayloadOperation(overwrite_payload=models.SetPayload(payload=payload, points=[identity]))
