"""Each fault as the worker's own client sees it, and the watch over real writes, on an endpoint of its own."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from qdrant_client import AsyncQdrantClient, models
from qdrant_client.http.exceptions import ResponseHandlingException
from yarl import URL

from connectors.qdrant import QdrantStore, open_client
from ops.bench.qdrant_proxy import Fault, Faults, QdrantProxy
from ops.bench.version_watch import Revival, Violation
from schemas.document import Deletion, Document, Provenance, Vectors, point_id
from schemas.errors import ErrorKind, VectorStoreError
from schemas.product import Product, row_hash
from schemas.recipe import Recipe
from tests.contract.qdrant_server import Endpoint, running_endpoint

RECIPE = Recipe(dimensions=4)
A1 = point_id("A1")


def document(version: int, key: str = "A1", name: str = "Strap top") -> Document:
    row = Product(id=1, article_id=key, name=name)
    return Document(
        row=row,
        vectors=Vectors(dense=[1.0, 0.0, 0.0, 0.0], sparse_indices=[1], sparse_values=[1.0]),
        provenance=Provenance(
            version=version,
            lsn=7,
            operation="u",
            source_time=None,
            recipe=RECIPE.recipe_id,
            embedding_fingerprint=RECIPE.fingerprint(RECIPE.render(row)),
            row_hash=row_hash(row.to_bytes()),
            indexed_at="2026-11-20T10:00:01.000000Z",
            source=f"t[0]@{version}",
        ),
    )


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    with running_endpoint(tmp_path_factory.mktemp("qdrant")) as running:
        yield running


@pytest.fixture
async def proxy(endpoint: Endpoint) -> AsyncIterator[QdrantProxy]:
    async with QdrantProxy(lambda: endpoint.url, rng=random.Random(1), slow_seconds=4.5) as running:
        yield running


@pytest.fixture
async def client(proxy: QdrantProxy) -> AsyncIterator[AsyncQdrantClient]:
    """Through the proxy; it waits for three seconds."""
    async with open_client(proxy.address, api_key=None, timeout_seconds=3) as through:
        yield through


@pytest.fixture
def store(client: AsyncQdrantClient) -> QdrantStore:
    return QdrantStore(client, alias="unused")


@pytest.fixture
async def direct(endpoint: Endpoint) -> AsyncIterator[QdrantStore]:
    async with open_client(endpoint.url, api_key=None, timeout_seconds=10) as past:
        yield QdrantStore(past, alias="unused")


@pytest.fixture
async def collection(direct: QdrantStore) -> str:
    name = f"c-{uuid4().hex[:8]}"
    await direct.create_collection(name, RECIPE)
    return name


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(10):
        while not await condition():
            await asyncio.sleep(0.02)


async def test_requests_and_answers_pass_as_they_are(store: QdrantStore, direct: QdrantStore) -> None:
    name = f"c-{uuid4().hex[:8]}"
    await store.create_collection(name, RECIPE)
    await store.upsert(name, [document(1), document(2, "A2")])
    await store.delete(name, [Deletion(key="A2", version=3)])
    await store.probe(name)
    assert await store.payloads(name, ["A1", "A2"]) == await direct.payloads(name, ["A1", "A2"])
    assert [keys async for keys in store.scroll_keys(name)] == [["A1"]]
    with pytest.raises(VectorStoreError, match="cannot create collection") as refused:
        await store.create_collection(name, RECIPE)
    assert refused.value.kind is ErrorKind.PERMANENT


async def test_request_and_answer_keep_every_part_that_matters() -> None:
    async def echo(request: web.Request) -> web.Response:
        told = [request.method, request.raw_path, request.headers["api-key"], request.content_type]
        return web.Response(status=418, text="|".join([*told, await request.text()]), content_type="text/x-odd")

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", echo)
    async with (
        TestServer(app) as target,
        QdrantProxy(lambda: str(target.make_url("/")), rng=random.Random(1)) as proxy,
        aiohttp.ClientSession() as session,
    ):
        headers = {"api-key": "k", "Content-Type": "text/odd"}
        url = URL(f"{proxy.address}/collections/a%2Fb/points?wait=true&x=%20", encoded=True)
        async with session.patch(url, data=b"body", headers=headers) as answer:
            assert (answer.status, answer.content_type) == (418, "text/x-odd")
            assert await answer.text() == "PATCH|/collections/a%2Fb/points?wait=true&x=%20|k|text/odd|body"


async def test_body_of_16_mib_passes(proxy: QdrantProxy, collection: str) -> None:
    description = "x" * (16 * 1024 * 1024)
    async with open_client(proxy.address, api_key=None, timeout_seconds=60) as client:
        store = QdrantStore(client, alias="unused")
        await store.upsert(collection, [document(1)])
        await client.set_payload(collection, payload={"description": description}, points=[A1], wait=True)
        assert (await store.payloads(collection, ["A1"]))["A1"]["description"] == description


@pytest.mark.parametrize(
    ("fault", "kind", "applied"),
    [
        (Fault.ERROR_500, ErrorKind.TRANSIENT, False),
        (Fault.TOO_MANY, ErrorKind.TRANSIENT, False),
        (Fault.REFUSE_EVERYTHING, ErrorKind.OUTAGE, False),
        (Fault.DROP_BEFORE, ErrorKind.TRANSIENT, False),
        (Fault.DROP_AFTER, ErrorKind.TRANSIENT, True),
        (Fault.TIME_OUT, ErrorKind.TRANSIENT, False),
    ],
)
async def test_fault_is_seen_by_the_client_and_ends(
    fault: Fault,
    kind: ErrorKind,
    applied: bool,
    proxy: QdrantProxy,
    store: QdrantStore,
    direct: QdrantStore,
    collection: str,
) -> None:
    proxy.faults.set(fault)
    with pytest.raises(VectorStoreError) as error:
        await store.upsert(collection, [document(1)])
    assert error.value.kind is kind
    assert await direct.count(collection) == applied
    assert proxy.faults.hits == Counter({fault: 1})
    proxy.faults.set(Fault.NONE)
    await store.upsert(collection, [document(1)])
    assert await direct.count(collection) == 1


async def test_slow_write_lands_after_its_client_gave_up(
    proxy: QdrantProxy, store: QdrantStore, direct: QdrantStore, collection: str
) -> None:
    proxy.faults.set(Fault.SLOW)
    with pytest.raises(VectorStoreError):
        await store.upsert(collection, [document(1)])
    assert await direct.count(collection) == 0

    async def landed() -> bool:
        return await direct.count(collection) == 1

    await until(landed)


async def test_many_requests_hang_at_once_until_the_fault_ends(proxy: QdrantProxy, collection: str) -> None:
    async def all_hang() -> bool:
        return proxy.faults.hits[Fault.TIME_OUT] == 150

    proxy.faults.set(Fault.TIME_OUT)
    # Two clients: one of them opens a hundred connections at most.
    async with (
        open_client(proxy.address, api_key=None, timeout_seconds=60) as first,
        open_client(proxy.address, api_key=None, timeout_seconds=60) as second,
    ):
        stores = [QdrantStore(first, alias="unused"), QdrantStore(second, alias="unused")]
        waiting = [asyncio.create_task(stores[n % 2].count(collection)) for n in range(150)]
        await until(all_hang)
        assert not any(task.done() for task in waiting)
        proxy.faults.set(Fault.NONE)
        ended = await asyncio.gather(*waiting, return_exceptions=True)
    assert {type(result) for result in ended} == {VectorStoreError}


def test_share_of_requests_is_hit_by_the_seed_alone() -> None:
    faults = Faults(random.Random(3))
    faults.set(Fault.TOO_MANY, share=0.25)
    drawn = [faults.draw() for _ in range(1000)]
    assert 200 < faults.hits[Fault.TOO_MANY] == drawn.count(Fault.TOO_MANY) < 300
    assert set(drawn) == {Fault.NONE, Fault.TOO_MANY}
    again = Faults(random.Random(3))
    again.set(Fault.TOO_MANY, share=0.25)
    assert [again.draw() for _ in range(1000)] == drawn


async def test_qdrant_that_is_down_and_comes_back_is_seen_through_the_proxy(tmp_path: Path) -> None:
    with running_endpoint(tmp_path) as own:
        async with (
            QdrantProxy(lambda: own.url, rng=random.Random(1)) as proxy,
            open_client(proxy.address, api_key=None, timeout_seconds=5) as client,
        ):
            store = QdrantStore(client, alias="unused")
            await store.create_collection("c", RECIPE)
            await store.upsert("c", [document(10)])
            own.kill()
            with pytest.raises(VectorStoreError) as error:
                await store.upsert("c", [document(11)])
            assert error.value.kind is ErrorKind.TRANSIENT
            assert proxy.watch.unread == 1
            own.start()
            await proxy.watch.look_again()
            assert proxy.watch.unread == 0
            await unguarded_upsert(client, "c", document(9))
            assert [(v.before, v.after) for v in proxy.watch.violations] == [(10, 9)]


async def unguarded_upsert(client: AsyncQdrantClient, collection: str, given: Document) -> None:
    point = models.PointStruct(id=point_id(given.key), vector={}, payload=given.payload())
    await client.upsert(collection, points=[point], wait=True)


async def unguarded_payload_by_id(client: AsyncQdrantClient, collection: str, given: Document) -> None:
    await client.set_payload(collection, payload=given.payload(), points=[point_id(given.key)], wait=True)


async def unguarded_payload_by_filter(client: AsyncQdrantClient, collection: str, given: Document) -> None:
    chosen = models.Filter(must=[models.HasIdCondition(has_id=[point_id(given.key)])])
    await client.overwrite_payload(collection, payload=given.payload(), points=chosen, wait=True)


async def unguarded_batch(client: AsyncQdrantClient, collection: str, given: Document) -> None:
    payload = models.SetPayload(payload=given.payload(), points=[point_id(given.key)])
    operation = models.OverwritePayloadOperation(overwrite_payload=payload)
    await client.batch_update_points(collection, update_operations=[operation], wait=True)


@pytest.mark.parametrize(
    "lower",
    [unguarded_upsert, unguarded_payload_by_id, unguarded_payload_by_filter, unguarded_batch],
    ids=lambda write: write.__name__,
)
async def test_promise_2_write_that_lowers_a_version_is_reported(
    lower: Callable[[AsyncQdrantClient, str, Document], Awaitable[None]],
    proxy: QdrantProxy,
    client: AsyncQdrantClient,
    store: QdrantStore,
    collection: str,
) -> None:
    await store.upsert(collection, [document(10), document(3, "A2")])
    await lower(client, collection, document(9))
    expected = Violation(collection=collection, point=A1, key="A1", before=10, after=9)
    assert proxy.watch.violations == [expected]
    await proxy.watch.look_at_all()
    assert proxy.watch.violations == [expected]


async def test_promise_2_guarded_writes_in_any_order_are_no_violation(
    proxy: QdrantProxy, store: QdrantStore, collection: str
) -> None:
    versions = [2**43 + n for n in range(12)]
    random.Random(5).shuffle(versions)
    for version in versions:
        await store.upsert(collection, [document(version)])
        await store.overwrite_payloads(collection, [replace(document(version - 3), vectors=None)])
        await store.delete(collection, [Deletion(key="A1", version=version - 6)])
    await proxy.watch.look_at_all()
    assert (proxy.watch.violations, proxy.watch.revivals) == ([], [])
    assert (proxy.watch.points, proxy.watch.unread) == (1, 0)


async def test_older_upsert_after_a_delete_is_a_revival(
    proxy: QdrantProxy, store: QdrantStore, collection: str
) -> None:
    # The exact version of a real topic of epoch 8: it must survive JSON's numbers.
    deleted = 2**43 + 5
    await store.upsert(collection, [document(deleted - 2)])
    await store.delete(collection, [Deletion(key="A1", version=deleted)])
    await store.upsert(collection, [document(deleted - 1)])
    assert proxy.watch.violations == []
    assert proxy.watch.revivals == [
        Revival(collection=collection, point=A1, key="A1", removed=deleted, after=deleted - 1)
    ]


async def test_write_whose_answer_was_dropped_is_watched(
    proxy: QdrantProxy, client: AsyncQdrantClient, store: QdrantStore, collection: str
) -> None:
    await store.upsert(collection, [document(10)])
    proxy.faults.set(Fault.DROP_AFTER)
    with pytest.raises(ResponseHandlingException):
        await unguarded_upsert(client, collection, document(9))
    assert [(v.before, v.after) for v in proxy.watch.violations] == [(10, 9)]


async def test_writes_of_many_workers_are_read_back_one_by_one(
    proxy: QdrantProxy, store: QdrantStore, collection: str
) -> None:
    batches = [[document(version, f"K{n}") for n in range(20)] for version in range(1, 31)]
    await asyncio.gather(*(store.upsert(collection, batch) for batch in batches))
    await proxy.watch.look_at_all()
    assert (proxy.watch.violations, proxy.watch.revivals) == ([], [])
    assert proxy.watch.points == 20
