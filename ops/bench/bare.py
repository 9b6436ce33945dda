"""What a rebuild is measured against: the same work by the client libraries alone, in a process of its own.

    python -m ops.bench.bare copy | copy-guarded | write | write-guarded | naive SECONDS | embed RECIPE

prints one JSON number: seconds for the points of the live collection, records a second, or texts a second.
"""

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import orjson
from confluent_kafka import Consumer, TopicPartition
from numpy.typing import NDArray
from qdrant_client import AsyncQdrantClient, models

from connectors.dense_encoder import load_dense_encoder
from connectors.kafka_errors import quiet
from connectors.qdrant import open_client
from ops.backfill.engine import POINTS_A_REQUEST
from ops.backfill.requests import AT_ONCE
from ops.bench.plain_index import PlainIndex
from ops.commands.rebuild import NICE
from ops.settings import Settings, load_settings
from ops.stores import open_rows, open_store
from ops.terminal import print_json
from schemas.document import DENSE_VECTOR, FINGERPRINT_FIELD, PROVENANCE, SPARSE_VECTOR, VERSION_FIELD
from schemas.recipe import Recipe, split_model
from streams.topics import PARTITIONS, PRODUCT_CHANGES

TARGET = "bare"
_POLL_SECONDS = 5.0


@dataclass(slots=True)
class Points:
    """A collection's points, compact: payloads as JSON, dense vectors as float32; `vectors` may be left out."""

    payloads: dict[str, bytes] = field(default_factory=dict)
    vectors: dict[str, tuple[NDArray[np.float32], models.SparseVector]] = field(default_factory=dict)

    def parts(self) -> Iterator[list[str]]:
        """Ids in parts of the rebuild's size."""
        ids = list(self.payloads)
        return (ids[start : start + POINTS_A_REQUEST] for start in range(0, len(ids), POINTS_A_REQUEST))


async def copy_points(settings: Settings, *, reads: bool, guarded: bool) -> float:
    """Seconds to write the live collection's points to a fresh one, in as large and as many requests as a rebuild's.

    With `reads` their vectors are read from the live collection on the way, as a rebuild does; otherwise they are in
    memory, as payloads are in either case. `guarded`: with the condition on each point's version.
    """
    qdrant = settings.qdrant
    async with (
        open_store(settings) as store,
        open_client(qdrant.url, api_key=None, timeout_seconds=qdrant.timeout_seconds) as client,
    ):
        live = await store.live_collection()
        await store.collections.drop(TARGET)
        await store.create_collection(TARGET, live.recipe)
        points = await _points(client, live.name, vectors=not reads)
        parts = points.parts()

        async def go_through() -> None:
            for ids in parts:
                vectors = await _vectors(client, live.name, ids) if reads else _from_memory(points, ids)
                payloads = {identity: orjson.loads(points.payloads[identity]) for identity in ids}
                await client.upsert(
                    TARGET,
                    points=[models.PointStruct(id=i, vector=vectors[i], payload=payloads[i]) for i in ids],
                    update_filter=_none_newer(payloads) if guarded else None,
                    wait=True,
                )

        started = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(go_through())
        seconds = time.monotonic() - started
        await store.collections.drop(TARGET)
    return seconds


async def _points(client: AsyncQdrantClient, collection: str, *, vectors: bool) -> Points:
    points = Points()
    async for page in _pages(client, collection, vectors=vectors):
        for record in page:
            points.payloads[str(record.id)] = orjson.dumps(record.payload)
            if vectors:
                named: Any = record.vector
                dense = np.array(named[DENSE_VECTOR], dtype=np.float32)
                points.vectors[str(record.id)] = (dense, named[SPARSE_VECTOR])
    return points


async def _pages(client: AsyncQdrantClient, collection: str, *, vectors: bool) -> AsyncIterator[list[models.Record]]:
    offset: Any = None
    while True:
        page, offset = await client.scroll(
            collection, limit=1000, offset=offset, with_payload=True, with_vectors=vectors
        )
        yield page
        if offset is None:
            return


async def _vectors(client: AsyncQdrantClient, collection: str, ids: Sequence[str]) -> dict[str, Any]:
    records = await client.retrieve(collection, ids=list(ids), with_payload=[FINGERPRINT_FIELD], with_vectors=True)
    return {str(record.id): record.vector for record in records}


def _from_memory(points: Points, ids: Sequence[str]) -> dict[str, Any]:
    found = {identity: points.vectors[identity] for identity in ids}
    return {
        identity: {DENSE_VECTOR: dense.tolist(), SPARSE_VECTOR: sparse} for identity, (dense, sparse) in found.items()
    }


def _none_newer(payloads: dict[str, Any]) -> models.Filter:
    clauses: list[models.Condition] = [
        models.Filter(
            must=[
                models.HasIdCondition(has_id=[identity]),
                models.FieldCondition(key=VERSION_FIELD, range=models.Range(gt=payload[PROVENANCE]["version"])),
            ]
        )
        for identity, payload in payloads.items()
    ]
    return models.Filter(must_not=clauses)


async def naive_replay(settings: Settings, seconds: float) -> float:
    """Records a second of a replay that polls one record, embeds it and writes it; for so long, or to the end."""
    async with open_store(settings) as store:
        await store.collections.drop(TARGET)
        await store.create_collection(TARGET, Recipe())
        index = PlainIndex(settings, TARGET)
        consumer = Consumer(
            {"bootstrap.servers": settings.kafka.brokers, "group.id": TARGET, "enable.auto.commit": False}, **quiet()
        )
        consumer.assign([TopicPartition(PRODUCT_CHANGES, number, 0) for number in range(PARTITIONS)])
        records = 0
        started = time.monotonic()
        while time.monotonic() - started < seconds and (message := consumer.poll(_POLL_SECONDS)):
            index.apply([(message.key() or b"", message.value())])
            records += 1
        rate = records / (time.monotonic() - started)
        consumer.close()
        await store.collections.drop(TARGET)
    return rate


async def raw_embedding(settings: Settings, recipe: Recipe) -> float:
    """Texts a second of the dense model alone, on the table's rows, those of like length together; no BM25."""
    async with open_rows(settings) as rows:
        texts = [recipe.render(row) async for page in rows.pages() for row in page]
    model, _ = split_model(recipe.model)
    embedding = settings.embedding
    dense = load_dense_encoder(model, threads=embedding.threads, batch_size=embedding.batch_size)
    dense.encode(texts[: embedding.batch_size])  # the first batch warms it up
    started = time.monotonic()
    dense.encode(texts)
    return len(texts) / (time.monotonic() - started)


def main(arguments: Sequence[str]) -> None:
    """Measure one thing at the rebuild's own priority and print it."""
    os.nice(NICE)
    settings = load_settings()
    match arguments:
        case ["copy" | "copy-guarded" | "write" | "write-guarded" as what]:
            work = copy_points(settings, reads=what.startswith("copy"), guarded=what.endswith("guarded"))
        case ["naive", seconds]:
            work = naive_replay(settings, float(seconds))
        case ["embed", recipe]:
            work = raw_embedding(settings, Recipe.model_validate_json(recipe))
        case _:
            raise SystemExit(f"no such work: {' '.join(arguments)}")
    print_json(asyncio.run(work))


if __name__ == "__main__":
    main(sys.argv[1:])
