"""Searches through the API beside the same search as one bare request to Qdrant, in turn within one run."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from itertools import count, cycle, islice
from pathlib import Path
from urllib.parse import urlencode

import aiohttp
import orjson
import psutil

from connectors.embedder import FastEmbedders
from connectors.qdrant import QdrantStore
from ops.bench.search_report import KINDS, Kind, SearchBenchReport
from ops.bench.stand_in_vectors import RandomVectors
from ops.demo.catalogue import generate_products
from ops.devstack.ports import HOST, Ports
from ops.devstack.service import until_answers_ok
from ops.devstack.stack import Say, Stack
from ops.devstack.stack_env import environment_of
from ops.settings import Settings
from ops.stores import open_embedders, open_rows, open_store
from schemas.document import DENSE_VECTOR, SPARSE_VECTOR, Document, Provenance, Vectors
from schemas.errors import StackError
from schemas.product import Product, row_hash, time_text
from schemas.ranking import DEPTH
from schemas.recipe import Recipe

CLIENTS = (1, 8, 32)
HITS = 10
ASKED_AGAIN = 200
"""Texts of the searches whose vectors the API has already."""
WRITE_POINTS = 256
START_SECONDS = 60.0

Request = tuple[str, str, bytes | None]
"""Method, address and body."""


async def run_search_bench(
    settings: Settings, home: Path, *, rows: int, rounds: int, seconds: float, seed: int, say: Say
) -> SearchBenchReport:
    """Measure on a stack of its own: a broker, Postgres, Qdrant and one API; `seconds` for each figure and round.

    The points have random vectors, which cost a search as much as true ones, and the true words.

    Raises:
        LockstepError: A part cannot be started, or a search fails.
    """
    report = SearchBenchReport()
    stack = Stack(settings, home, services=("kafka", "postgres", "qdrant"), usual_ports=False, say=say)
    await stack.stop()
    stack.wipe()
    try:
        await stack.start_servers()
        await stack.prepare()
        say(f"indexing {rows:,} products")
        await _fill(stack.settings, rows, seed)
        async with (
            _api(stack) as (address, api),
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session,
        ):
            processes = (api, psutil.Process(stack.pid("qdrant")))
            requests = await _requests(stack.settings, address, seed)
            for request in islice(requests[Kind.AGAIN], ASKED_AGAIN):
                await _ask(session, request)
            for number in range(rounds):
                for clients in CLIENTS:
                    for kind in KINDS if number % 2 == 0 else KINDS[::-1]:
                        before = _cpu_ms(processes)
                        taken = await _load(session, requests[kind], clients, seconds)
                        spent = [after - then for after, then in zip(_cpu_ms(processes), before, strict=True)]
                        report.add(kind, clients, taken, seconds=seconds, api_cpu_ms=spent[0], qdrant_cpu_ms=spent[1])
                        say(f"round {number + 1}, {clients} clients, {kind}: {len(taken):,} searches")
    finally:
        await stack.stop()
        stack.wipe()
    return report


async def _fill(settings: Settings, rows: int, seed: int) -> None:
    async with open_rows(settings) as catalogue, open_store(settings) as store:
        await catalogue.copy_products(generate_products(rows, seed))
        live = await store.live_collection()
        vectors = RandomVectors(live.recipe, seed)
        version = count(1)
        async for page in catalogue.pages(limit=WRITE_POINTS):
            made = await vectors.embed([live.recipe.render(row) for row in page])
            documents = [
                _document(row, of_row, live.recipe, next(version)) for row, of_row in zip(page, made, strict=True)
            ]
            await store.upsert(live.name, documents)


def _document(row: Product, vectors: Vectors, recipe: Recipe, version: int) -> Document:
    provenance = Provenance(
        version=version,
        lsn=None,
        operation="r",
        source_time=None,
        recipe=recipe.recipe_id,
        embedding_fingerprint=recipe.fingerprint(recipe.render(row)),
        row_hash=row_hash(row.to_bytes()),
        indexed_at=time_text(datetime.now(UTC)) or "",
        source="bench[0]@0",
    )
    return Document(row=row, vectors=vectors, provenance=provenance)


@asynccontextmanager
async def _api(stack: Stack) -> AsyncIterator[tuple[str, psutil.Process]]:
    """`lockstep serve` as a process of its own, as it is by default but for its port and the limit of its rate."""
    port = Ports(stack.home.ports_file, usual=False).choose("api")
    api = stack.settings.api.model_copy(update={"host": HOST, "port": port, "rate_per_second": 1e6})
    settings = stack.settings.model_copy(update={"api": api})
    with (stack.home.logs / "api.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "ops.cli", "serve"), env=environment_of(settings), stdout=log, stderr=log
        )
    address = f"http://{HOST}:{port}"
    try:
        async with asyncio.timeout(START_SECONDS):
            await until_answers_ok(f"{address}/health/live")
        yield address, psutil.Process(process.pid)
    except TimeoutError as error:
        raise StackError(f"the API does not answer within {START_SECONDS:.0f} s: see {log.name}") from error
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def _requests(settings: Settings, address: str, seed: int) -> dict[Kind, Iterator[Request]]:
    """Endless searches of each kind, over texts that products of another seed have."""
    drafts = generate_products(sys.maxsize, seed + 1)
    texts = (f"{draft.color} {draft.name} {number}" for number, draft in enumerate(drafts))
    again = list(islice(texts, ASKED_AGAIN))

    def through_api(text: str, **more: str) -> Request:
        return "GET", f"{address}/search?{urlencode({'q': text, 'limit': HITS, **more})}", None

    async with open_store(settings) as store:
        bare = await _bare(settings, store, open_embedders(settings), again)
    return {
        Kind.BARE: cycle(bare),
        Kind.AGAIN: cycle([through_api(text) for text in again]),
        Kind.NEW: map(through_api, texts),
        Kind.FRESH: cycle([through_api(text, fresh="true") for text in again]),
    }


async def _bare(
    settings: Settings, store: QdrantStore, embedders: FastEmbedders, texts: Sequence[str]
) -> list[Request]:
    """The same search with a ready vector and Qdrant's own fusion; payloads come with the hits."""
    live = await store.live_collection()
    embedder = await embedders.for_recipe(live.recipe)
    address = f"{settings.qdrant.url}/collections/{live.name}/points/query"

    def body(vectors: Vectors) -> bytes:
        words = {"indices": vectors.sparse_indices, "values": vectors.sparse_values}
        halves = ((vectors.dense, DENSE_VECTOR), (words, SPARSE_VECTOR))
        prefetch = [{"query": vector, "using": using, "limit": DEPTH} for vector, using in halves]
        return orjson.dumps({"prefetch": prefetch, "query": {"fusion": "rrf"}, "limit": HITS, "with_payload": True})

    requests: list[Request] = [("POST", address, body(await embedder.embed_query(text))) for text in texts]
    embedders.close()
    return requests


def _cpu_ms(processes: Sequence[psutil.Process]) -> list[float]:
    times = [process.cpu_times() for process in processes]
    return [1000 * (spent.user + spent.system) for spent in times]


async def _load(
    session: aiohttp.ClientSession, requests: Iterator[Request], clients: int, seconds: float
) -> list[float]:
    """So many clients, each of which asks again as soon as it has its answer; the milliseconds of each search."""
    taken: list[float] = []
    ends = time.perf_counter() + seconds

    async def ask_on() -> None:
        while (started := time.perf_counter()) < ends:
            await _ask(session, next(requests))
            taken.append((time.perf_counter() - started) * 1000)

    async with asyncio.TaskGroup() as group:
        for _ in range(clients):
            group.create_task(ask_on())
    return taken


async def _ask(session: aiohttp.ClientSession, request: Request) -> None:
    method, address, body = request
    async with session.request(
        method, address, data=body, headers={"Content-Type": "application/json"} if body else None
    ) as answer:
        text = await answer.read()
        if answer.status != 200:
            raise StackError(f"a search was answered {answer.status}: {text[:200].decode(errors='replace')}")
