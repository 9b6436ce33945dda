"""A row change in Postgres becomes searchable in Qdrant, on the real broker, Connect, Debezium and Postgres."""

from decimal import Decimal

import asyncpg
import pytest

from ops.search import search
from ops.stores import open_embedders
from schemas.document import point_id
from schemas.search import SearchQuery
from tests.e2e.conftest import Running

pytestmark = pytest.mark.stack


async def test_insert_text_price_and_delete_reach_the_search(running: Running) -> None:
    embedders = open_embedders(running.stack.settings)

    async def found(text: str) -> dict[str, str | None]:
        hits = await search(running.store, embedders, SearchQuery(text=text))
        return {hit.article_id: hit.price for hit in hits if hit.article_id == key}

    key = await running.insert("A1", name="glittering submarine pullover", price=Decimal("19.90"))
    await running.until_payload(key, price_text="19.90")
    assert await found("glittering submarine pullover") == {key: "19.90"}

    before = await running.worker()
    await running.sql("UPDATE products SET price = 9.90 WHERE article_id = $1", key)
    await running.until_payload(key, price_text="9.90", price=9.9)
    after = await running.worker()
    assert before is not None
    assert after is not None
    assert after["embeddings_made"] == before["embeddings_made"]

    await running.sql("UPDATE products SET name = 'crocheted zeppelin' WHERE article_id = $1", key)
    await running.until_payload(key, name="crocheted zeppelin")
    assert await found("crocheted zeppelin") == {key: "9.90"}

    await running.sql("DELETE FROM products WHERE article_id = $1", key)
    await running.until_gone(key)
    assert await found("crocheted zeppelin") == {}


async def test_changed_key_moves_the_point(running: Running) -> None:
    old = await running.insert("old")
    await running.until_payload(old)
    await running.sql("UPDATE products SET article_id = $2 WHERE article_id = $1", old, running.key("new"))
    await running.until_payload(running.key("new"))
    await running.until_gone(old)


async def test_delete_and_insert_in_one_transaction_leave_the_new_row(running: Running) -> None:
    key = await running.insert("A1", price=Decimal("1.00"))
    await running.until_payload(key, price_text="1.00")
    connection = await asyncpg.connect(running.stack.settings.postgres.dsn.get_secret_value())
    try:
        async with connection.transaction():
            await connection.execute("DELETE FROM products WHERE article_id = $1", key)
            await connection.execute("INSERT INTO products (article_id, name, price) VALUES ($1, 'again', 2)", key)
    finally:
        await connection.close()
    await running.until_payload(key, name="again", price_text="2.00")


async def test_rolled_back_change_leaves_no_trace(running: Running) -> None:
    connection = await asyncpg.connect(running.stack.settings.postgres.dsn.get_secret_value())
    try:
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute("INSERT INTO products (article_id, name) VALUES ($1, 'never')", running.key("never"))
        await transaction.rollback()
    finally:
        await connection.close()
    await running.until_payload(await running.insert("later"))
    assert await running.payload(running.key("never")) is None


@pytest.mark.parametrize(
    ("name", "columns"),
    [
        ("emoji", {"name": "🧥 coat", "description": "👗 for 👩‍👩‍👧"}),
        ("empty", {"name": "", "description": ""}),
        ("nulls", {"created_at": None, "updated_at": None}),
        ("large", {"description": "wool and silk " * 75_000}),
        ("quotes", {"name": "the \"12'' \\ one\"", "color": "blåbær; DROP TABLE"}),
    ],
)
async def test_odd_rows_are_indexed(running: Running, name: str, columns: dict[str, object]) -> None:
    key = await running.insert(name, **columns)
    await running.until_payload(key, **columns)


@pytest.mark.parametrize(
    ("name", "column", "value", "reason"),
    [
        ("nan", "price", Decimal("NaN"), "price is NaN"),
        ("infinite", "updated_at", "infinity", "updated_at"),
        ("huge", "description", "x" * 2_200_000, "above the limit of 2 MiB"),
    ],
)
async def test_rows_that_cannot_be_indexed_are_dead_letters(
    running: Running, name: str, column: str, value: object, reason: str
) -> None:
    before = await running.insert(f"{name}-before")
    key = running.key(name)
    cast = "::text::timestamptz" if value == "infinity" else ""
    await running.sql(f"INSERT INTO products (article_id, name, {column}) VALUES ($1, 'odd', $2{cast})", key, value)
    after = await running.insert(f"{name}-after")
    letter = await running.until_dead_letter(naming=key)
    assert reason in letter["lockstep-error"].decode()
    assert letter["lockstep-error-class"] == b"DecodeError"
    await running.until_payload(before)
    await running.until_payload(after)
    assert await running.payload(key) is None


async def test_postgres_and_qdrant_agree(running: Running) -> None:
    for number in range(20):
        await running.insert(f"A{number}", price=Decimal(number))
    await running.sql("UPDATE products SET price = price + 1 WHERE starts_with(article_id, $1)", running.prefix)
    await running.sql("DELETE FROM products WHERE article_id = $1", running.key("A7"))
    report = await running.reconcile()
    assert report.in_sync, report
    assert report.rows == report.points


async def test_reconcile_names_each_difference(running: Running) -> None:
    keys = [await running.insert(name) for name in ("missing", "orphaned", "stale")]
    for key in keys:
        await running.until_payload(key)
    await running.pipeline.settle()
    missing, orphaned, stale = keys
    live = await running.store.live_collection()
    client = running.store._client
    await client.delete(live.name, points_selector=[point_id(missing)], wait=True)
    await client.set_payload(live.name, payload={"color": "another"}, points=[point_id(stale)], wait=True)
    points = await client.retrieve(live.name, ids=[point_id(orphaned)], with_vectors=True)
    ghost = point_id(running.key("ghost"))
    payload = (points[0].payload or {}) | {"article_id": running.key("ghost")}
    await client.upsert(live.name, points=[{"id": ghost, "vector": points[0].vector, "payload": payload}], wait=True)
    report = await running.reconcile()
    assert (report.missing.examples, report.stale.examples, report.orphaned.examples) == (
        [missing],
        [stale],
        [running.key("ghost")],
    )
    await client.delete(live.name, points_selector=[ghost], wait=True)


async def test_a_clean_run_logs_no_errors(running: Running) -> None:
    """Runs after the other changes of this module; the faults come in the next."""
    for name in ("worker-1", "qdrant"):
        lines = running.stack.log_file(name).read_text().splitlines()
        assert [line for line in lines if any(w in line for w in ("ERROR", "CRITICAL", "Traceback", "Warning:"))] == []
