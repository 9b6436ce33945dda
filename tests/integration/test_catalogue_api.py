"""The catalogue over HTTP on a real Postgres: versions, races, hostile texts, rows that no product can hold."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import asyncpg
import pytest
from aiohttp.test_utils import TestClient, TestServer
from pydantic import SecretStr
from yarl import URL

from connectors.postgres import ProductDraft, read_times_as_microseconds
from connectors.postgres_catalogue import Catalogue, Refusal, open_catalogue
from ops.api.catalogue_routes import MERGE_PATCH_JSON, operations
from ops.api.known_tokens import KnownTokens
from ops.api.page_token import page_token
from ops.devstack.stack import Stack
from ops.serve import open_api
from ops.settings import KafkaSettings, PostgresSettings, QdrantSettings, Settings
from schemas.product import TEXT_COLUMNS
from schemas.product_body import NewProduct
from tests.fakes.api import served

pytestmark = pytest.mark.stack

PATCH = {"Content-Type": MERGE_PATCH_JSON}
HOSTILE = ["'; DROP TABLE public.products; --", "x' OR '1'='1", "$1", "a/b%2F..", "..", "%(name)s", "\\'", "été 👗"]


@pytest.fixture
def dsn(stack: Stack) -> str:
    return stack.settings.postgres.dsn.get_secret_value()


@pytest.fixture
async def catalogue(dsn: str) -> AsyncIterator[Catalogue]:
    async with open_catalogue(dsn) as catalogue:
        yield catalogue


@pytest.fixture
async def client(catalogue: Catalogue) -> AsyncIterator[TestClient]:
    async with served(*operations(catalogue)) as client:
        yield client


@pytest.fixture
async def database(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(dsn)
    yield connection
    await connection.close()


@pytest.fixture
async def prefix(database: asyncpg.Connection) -> AsyncIterator[str]:
    """What the keys of this test begin with; its rows are gone afterwards."""
    prefix = f"api-{uuid4().hex[:8]}-"
    yield prefix
    await database.execute("DELETE FROM public.products WHERE starts_with(article_id, $1)", prefix)


class OneConnection:
    """A pool of one connection, in a transaction that is never committed: no worker meets what is in it."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection
        self._free = asyncio.Lock()

    @asynccontextmanager
    async def acquire(self, *, timeout: float) -> AsyncIterator[asyncpg.Connection]:
        async with self._free:
            yield self._connection


@pytest.fixture
async def unseen(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection in such a transaction."""
    connection = await asyncpg.connect(dsn)
    await read_times_as_microseconds(connection)
    await connection.execute("BEGIN")
    yield connection
    await connection.close()


@pytest.fixture
async def unseen_client(unseen: asyncpg.Connection) -> AsyncIterator[TestClient]:
    async with served(*operations(Catalogue(OneConnection(unseen)))) as client:
        yield client


def one(article_id: str) -> URL:
    return URL(f"/products/{quote(article_id, safe='')}", encoded=True)


async def body_of(client: TestClient, article_id: str) -> dict[str, Any]:
    return await (await client.get(one(article_id))).json()


async def test_hostile_texts_are_stored_as_they_are(
    client: TestClient, database: asyncpg.Connection, prefix: str
) -> None:
    rows = await database.fetchval("SELECT count(*) FROM public.products")
    for text in HOSTILE:
        key = prefix + text
        assert (await client.post("/products", json={"article_id": key, "name": text})).status == 201
        patch = await client.patch(one(key), data=json.dumps({"color": text}), headers=PATCH)
        assert (patch.status, (await patch.json())["color"]) == (200, text)
        stored = await database.fetchrow("SELECT name, color FROM public.products WHERE article_id = $1", key)
        assert tuple(stored) == (text, text)
    assert await database.fetchval("SELECT count(*) FROM public.products") == rows + len(HOSTILE)


async def test_every_field_at_its_limit_is_stored_and_read_back_equal(client: TestClient, prefix: str) -> None:
    fields = NewProduct.model_json_schema()["properties"]
    body = {
        column: "👗"
        * next(b["maxLength"] for b in (fields[column], *fields[column].get("anyOf", ())) if "maxLength" in b)
        for column in TEXT_COLUMNS
    }
    body |= {"article_id": (prefix + body["article_id"])[:255], "price": "99999999.99"}
    response = await client.post("/products", json=body)
    assert response.status == 201
    stored = await body_of(client, body["article_id"])
    assert {name: stored[name] for name in body} == body


async def test_price_comes_back_with_the_scale_of_its_column(client: TestClient, prefix: str) -> None:
    for place, (sent, stored) in enumerate((("0.1", "0.10"), ("7", "7.00"), (19.9, "19.90"), ("99999999.99",) * 2)):
        response = await client.put(one(f"{prefix}{place}"), json={"name": "n", "price": sent})
        assert (await response.json())["price"] == stored


async def test_every_write_moves_the_version_forward_though_the_clock_stands_behind_it(
    unseen_client: TestClient, unseen: asyncpg.Connection, prefix: str
) -> None:
    client, database = unseen_client, unseen
    await client.post("/products", json={"article_id": prefix, "name": "n"})
    for beginning in ("now() + interval '1 hour'", "'9999-12-31 23:59:59.999990+00'"):
        await database.execute(f"UPDATE public.products SET updated_at = {beginning} WHERE article_id = $1", prefix)
        seen = [(await body_of(client, prefix))["updated_at"]]
        for number in range(3):
            patch = await client.patch(one(prefix), data=json.dumps({"color": f"{number}"}), headers=PATCH)
            put = await client.put(one(prefix), json={"name": f"{beginning}{number}"})
            seen += [(await patch.json())["updated_at"], (await put.json())["updated_at"]]
        assert seen == sorted(set(seen))
        first, last = datetime.fromisoformat(seen[0]), datetime.fromisoformat(seen[-1])
        assert (last - first).microseconds == 6


async def test_write_that_changes_nothing_writes_nothing(
    client: TestClient, database: asyncpg.Connection, prefix: str
) -> None:
    sent = {"name": "n", "price": "1.5"}
    created = await client.put(one(prefix), json=sent)
    version = "SELECT xmin::text || ctid::text FROM public.products WHERE article_id = $1"
    before = await database.fetchval(version, prefix)
    for response in (
        await client.put(one(prefix), json=sent),
        await client.put(one(prefix), json=sent, headers={"If-Match": created.headers["ETag"]}),
        await client.patch(one(prefix), data=json.dumps({"price": 1.5}), headers=PATCH),
        await client.patch(one(prefix), data="{}", headers=PATCH),
    ):
        assert (response.status, response.headers["ETag"]) == (200, created.headers["ETag"])
    assert await database.fetchval(version, prefix) == before


async def test_of_many_writes_for_one_version_one_wins(client: TestClient, prefix: str) -> None:
    etag = (await client.post("/products", json={"article_id": prefix, "name": "n"})).headers["ETag"]

    async def write(number: int) -> int:
        headers = {"If-Match": etag}
        match number % 3:
            case 0:
                return (await client.put(one(prefix), json={"name": f"{number}"}, headers=headers)).status
            case 1:
                data = json.dumps({"name": f"{number}"})
                return (await client.patch(one(prefix), data=data, headers=PATCH | headers)).status
            case _:
                return (await client.delete(one(prefix), headers={"If-Match": '"2026-01-01T00:00:00.000000Z"'})).status

    statuses = await asyncio.gather(*(write(number) for number in range(24)))
    assert sorted(statuses) == [200] + [412] * 23


async def test_of_many_creations_of_one_key_one_wins(client: TestClient, prefix: str) -> None:
    async def create() -> int:
        return (await client.post("/products", json={"article_id": prefix, "name": "n"})).status

    assert sorted(await asyncio.gather(*(create() for _ in range(16)))) == [201] + [409] * 15

    async def put(key: str, number: int) -> int:
        return (await client.put(one(key), json={"name": f"{number}"})).status

    statuses = await asyncio.gather(*(put(f"{prefix}put", number) for number in range(16)))
    assert sorted(statuses) == [200] * 15 + [201]


async def test_writes_at_once_pass_for_nothing_but_what_they_did(client: TestClient, prefix: str) -> None:
    async def put() -> tuple[str, int]:
        return "put", (await client.put(one(prefix), json={"name": "the same"})).status

    async def patch() -> tuple[str, int]:
        response = await client.patch(one(prefix), data='{"color": "Red"}', headers=PATCH)
        assert response.status == 404 or (await response.json())["color"] == "Red"
        return "patch", response.status

    async def delete() -> tuple[str, int]:
        return "delete", (await client.delete(one(prefix))).status

    seen = set(await asyncio.gather(*(call() for _ in range(20) for call in (put, patch, delete))))
    assert seen <= {("put", 200), ("put", 201), ("patch", 200), ("patch", 404), ("delete", 204), ("delete", 404)}


async def test_pages_show_every_row_once_while_rows_around_them_go(client: TestClient, prefix: str) -> None:
    keys = [f"{prefix}{number:02}" for number in range(7)]
    for key in keys:
        await client.post("/products", json={"article_id": key, "name": "n"})
    seen: list[str] = []
    after = page_token("listProducts", prefix)
    while True:
        page = await (await client.get("/products", params={"limit": 3, "after": after})).json()
        seen += [item["article_id"] for item in page["items"] if item["article_id"].startswith(prefix)]
        if page["items"] and page["items"][-1]["article_id"] in keys:
            await client.delete(one(page["items"][-1]["article_id"]))
        after = page["next"]
        if after is None or (seen and seen[-1] == keys[-1]):
            break
    assert seen == keys


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("price", "'NaN'", "price is NaN"),
        ("updated_at", "'infinity'", "updated_at is infinite"),
        ("updated_at", "'-infinity'", "updated_at is infinite"),
        ("created_at", "'12000-01-01'", "outside the years"),
    ],
    ids=["NaN", "infinity", "minus infinity", "year 12000"],
)
async def test_row_that_no_product_can_hold_is_named_and_put_mends_it(
    unseen_client: TestClient, unseen: asyncpg.Connection, prefix: str, column: str, value: str, reason: str
) -> None:
    client, database = unseen_client, unseen
    spoil = f"UPDATE public.products SET {column} = {value} WHERE article_id = $1"
    await client.post("/products", json={"article_id": prefix, "name": "n"})
    await database.execute(spoil, prefix)
    found = await client.get(one(prefix))
    assert (found.status, reason in (await found.json())["detail"]) == (409, True)
    page = await (await client.get("/products", params={"after": page_token("listProducts", prefix[:-1])})).json()
    assert prefix in [row["article_id"] for row in page["unreadable"]]
    if column == "price":
        refused = await client.patch(one(prefix), data=json.dumps({"color": "Red"}), headers=PATCH)
        assert refused.status == 409
        assert await database.fetchval("SELECT color FROM public.products WHERE article_id = $1", prefix) is None
        mended = await client.patch(one(prefix), data=json.dumps({"price": "1.00"}), headers=PATCH)
        assert mended.status == 200
        await database.execute(spoil, prefix)
    assert (await client.put(one(prefix), json={"name": "n"})).status == 200
    assert (await body_of(client, prefix))["updated_at"] < "2999"
    await database.execute(spoil, prefix)
    assert (await client.delete(one(prefix))).status == 204


async def test_row_without_times_is_written_for_its_version(
    client: TestClient, database: asyncpg.Connection, prefix: str
) -> None:
    await database.execute(
        "INSERT INTO public.products (article_id, name, created_at, updated_at) VALUES ($1, 'n', NULL, NULL)", prefix
    )
    etag = (await client.get(one(prefix))).headers["ETag"]
    first = await client.patch(one(prefix), data='{"color": "Red"}', headers=PATCH | {"If-Match": etag})
    second = await client.patch(one(prefix), data='{"color": "Blue"}', headers=PATCH | {"If-Match": etag})
    assert (first.status, second.status) == (200, 412)


async def test_key_that_is_not_there_is_told_from_one_that_changed(catalogue: Catalogue, prefix: str) -> None:
    assert await catalogue.get(prefix) is None
    assert await catalogue.update(prefix, {"name": "n"}, versions=[None]) is Refusal.MISSING
    assert await catalogue.delete(prefix, versions=[None]) is Refusal.MISSING


async def test_postgres_that_is_away_is_answered_with_503_and_the_catalogue_works_once_it_is_back(
    dsn: str, unused_tcp_port: int, prefix: str
) -> None:
    target = URL(dsn)
    refused = str(target.with_port(unused_tcp_port))
    async with open_catalogue(refused, timeout_seconds=2) as catalogue, served(*operations(catalogue)) as client:
        for response in (await client.get("/products"), await client.put(one(prefix), json={"name": "n"})):
            assert (response.status, response.content_type) == (503, "application/problem+json")
            assert response.headers["Retry-After"]
        relay = await asyncio.start_server(_relay_to(target), "127.0.0.1", unused_tcp_port)
        async with relay:
            assert (await client.put(one(prefix), json={"name": "n"})).status == 201


async def test_catalogue_works_while_the_index_and_the_broker_are_away(
    dsn: str, prefix: str, tmp_path: Path, unused_tcp_port: int
) -> None:
    nowhere = f"127.0.0.1:{unused_tcp_port}"
    settings = Settings(
        _env_file=None,
        kafka=KafkaSettings(brokers=nowhere),
        qdrant=QdrantSettings(url=f"http://{nowhere}", timeout_seconds=1),
        postgres=PostgresSettings(dsn=SecretStr(dsn)),
    )
    async with (
        open_api(settings, KnownTokens(tmp_path / "tokens.json")) as api,
        TestClient(TestServer(api)) as client,
    ):
        created = await client.post("/products", json={"article_id": prefix, "name": "n"})
        assert created.status == 201
        etag = {"If-Match": created.headers["ETag"]}
        assert (await client.get(one(prefix))).status == 200
        assert (await client.get("/products")).status == 200
        patched = await client.patch(one(prefix), data='{"color": "Red"}', headers=PATCH | etag)
        assert patched.status == 200
        assert (await client.put(one(prefix), json={"name": "m"}, headers=etag)).status == 412
        assert (await client.delete(one(prefix))).status == 204
        assert (await client.get("/search", params={"q": "coat"})).status == 503


async def test_row_that_another_transaction_holds_is_answered_in_time_and_not_written_later(
    dsn: str, database: asyncpg.Connection, prefix: str
) -> None:
    async with (
        open_catalogue(dsn, max_connections=1, timeout_seconds=0.5) as catalogue,
        served(*operations(catalogue)) as client,
    ):
        assert (await client.put(one(prefix), json={"name": "first"})).status == 201
        async with database.transaction():
            await database.execute("SELECT 1 FROM public.products WHERE article_id = $1 FOR UPDATE", prefix)
            late, waiting = client.put(one(prefix), json={"name": "late"}), client.get(one(f"{prefix}other"))
            assert [response.status for response in await asyncio.gather(late, waiting)] == [503, 503]
        assert (await body_of(client, prefix))["name"] == "first"


async def test_write_that_waits_while_the_catalogue_closes_is_not_done_later(
    dsn: str, database: asyncpg.Connection, prefix: str
) -> None:
    draft = ProductDraft(article_id=prefix, name="late")
    async with database.transaction():
        await database.execute("INSERT INTO public.products (article_id, name) VALUES ($1, 'first')", prefix)
        async with open_catalogue(dsn) as catalogue:
            writing = asyncio.create_task(catalogue.put(draft))
            await _until_somebody_waits(database)
            writing.cancel()
    await asyncio.gather(writing, return_exceptions=True)
    assert await database.fetchval("SELECT name FROM public.products WHERE article_id = $1", prefix) == "first"


async def _until_somebody_waits(database: asyncpg.Connection) -> None:
    waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid))"
    async with asyncio.timeout(10):
        while not await database.fetchval(waiting):
            await asyncio.sleep(0.01)


def _relay_to(target: URL) -> Any:
    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
        writer.close()

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(target.host, target.port)
        await asyncio.gather(copy(reader, back), copy(there, writer), return_exceptions=True)

    return relay
