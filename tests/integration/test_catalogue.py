"""The catalogue in a real Postgres: bulk loads, pages, keys, and values that no Product can hold."""

from collections.abc import AsyncIterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
import typer
from typer.testing import CliRunner

from connectors.postgres import (
    Postgres,
    ProductDraft,
    Stored,
    UnreadableRowError,
    product_from,
    read_times_as_microseconds,
)
from ops.commands import demo
from ops.demo.catalogue import generate_products
from ops.devstack.stack import Stack
from schemas.errors import ErrorKind, SourceError

pytestmark = pytest.mark.stack

# A row as the table has it, with a value in the place of one column.
ROW_OF_VALUES = """
    SELECT 1::bigint AS id, 'k' AS article_id, 'n' AS name, NULL AS description, NULL AS product_type,
           NULL AS product_group, NULL AS color, NULL AS department, NULL AS index_name, NULL AS image_url,
           {price} AS price, {created_at}::timestamptz AS created_at, NULL::timestamptz AS updated_at
"""


@pytest.fixture
def dsn(stack: Stack) -> str:
    return stack.settings.postgres.dsn.get_secret_value()


@pytest.fixture
async def postgres(dsn: str) -> AsyncIterator[Postgres]:
    async with await Postgres.connect(dsn) as postgres:
        yield postgres


@pytest.fixture
async def prefix(dsn: str) -> AsyncIterator[str]:
    """What the keys of this test begin with; its rows are gone afterwards."""
    prefix = f"test-{uuid4().hex[:8]}-"
    yield prefix
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute("DELETE FROM public.products WHERE starts_with(article_id, $1)", prefix)
    finally:
        await connection.close()


def drafts(prefix: str, count: int) -> list[ProductDraft]:
    return [replace(draft, article_id=prefix + draft.article_id) for draft in generate_products(count)]


async def pages_of(postgres: Postgres, prefix: str, limit: int) -> list[list[str]]:
    pages = []
    async for page in postgres.pages(prefix, limit, unreadable=[]):
        pages.append([row.article_id for row in page if row.article_id.startswith(prefix)])
        if not page[-1].article_id.startswith(prefix):
            break
    return [page for page in pages if page]


async def test_made_up_rows_are_copied_and_read_back_equal(postgres: Postgres, prefix: str) -> None:
    rows = drafts(prefix, 1500)
    before = await postgres.count()
    assert await postgres.copy_products(rows) == 1500
    assert await postgres.count() == before + 1500
    found = await postgres.fetch_rows([row.article_id for row in rows])
    assert len(found) == 1500
    for draft in rows:
        product = found[draft.article_id]
        assert all(getattr(product, column) == getattr(draft, column) for column in ProductDraft.__slots__)
        assert product.created_at is not None


async def test_copying_a_key_that_exists_is_a_permanent_error(postgres: Postgres, prefix: str) -> None:
    await postgres.copy_products(drafts(prefix, 2))
    with pytest.raises(SourceError, match="duplicate key") as caught:
        await postgres.copy_products(drafts(prefix, 3))
    assert caught.value.kind is ErrorKind.PERMANENT
    assert len(await postgres.existing_keys([row.article_id for row in drafts(prefix, 3)])) == 2


async def test_pages_come_in_bytewise_order_each_row_once(postgres: Postgres, prefix: str) -> None:
    keys = [prefix + key for key in ("Z", "a", "B", "-", "10", "9", "é", "aa", "A ", "👗", "_")]
    await postgres.copy_products(ProductDraft(article_id=key, name="n") for key in keys)
    pages = await pages_of(postgres, prefix, 3)
    assert [key for page in pages for key in page] == sorted(keys, key=str.encode)
    assert all(len(page) <= 3 for page in pages)


async def test_storing_leaves_rows_that_exist_alone(postgres: Postgres, prefix: str) -> None:
    first = ProductDraft(article_id=f"{prefix}1", name="first")
    assert await postgres.store_products([first, replace(first, name="repeated")], update=False) == Stored(
        inserted=1, unchanged=1
    )
    assert await postgres.store_products([replace(first, name="second")], update=False) == Stored(unchanged=1)
    row = await postgres.fetch_row(f"{prefix}1")
    assert row is not None
    assert row.name == "first"


async def test_storing_with_update_writes_only_what_differs(postgres: Postgres, prefix: str) -> None:
    same = ProductDraft(article_id=f"{prefix}1", name="same", price=Decimal("1.00"))
    other = ProductDraft(article_id=f"{prefix}2", name="other", price=Decimal("2.00"))
    await postgres.store_products([same, other], update=True)
    before = await postgres.fetch_rows([same.article_id, other.article_id])
    changed = [same, replace(other, price=None), replace(other, name="last", price=None)]
    assert await postgres.store_products(changed, update=True) == Stored(updated=1, unchanged=2)
    after = await postgres.fetch_rows([same.article_id, other.article_id])
    assert after[same.article_id] == before[same.article_id]
    assert (after[other.article_id].name, after[other.article_id].price) == ("last", None)
    was, now = before[other.article_id].updated_at, after[other.article_id].updated_at
    assert was is not None
    assert now is not None
    assert now > was


async def test_a_missing_row_is_none_and_is_left_out(postgres: Postgres, prefix: str) -> None:
    assert await postgres.fetch_row(prefix) is None
    assert await postgres.fetch_rows([prefix]) == {}
    assert await postgres.existing_keys([prefix]) == set()


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"price": "'NaN'::numeric(10,2)"}, "price is NaN"),
        ({"created_at": "'infinity'"}, "created_at is infinite"),
        ({"created_at": "'-infinity'"}, "created_at is infinite"),
        ({"created_at": "'12000-01-01'"}, "outside the years 1 to 9999"),
        ({"created_at": "'0044-03-15 BC'"}, "outside the years 1 to 9999"),
    ],
    ids=["NaN", "infinity", "minus infinity", "year 12000", "before Christ"],
)
async def test_postgres_values_that_no_product_can_hold_are_named(
    dsn: str, values: dict[str, Any], reason: str
) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await read_times_as_microseconds(connection)
        row = await connection.fetchrow(
            ROW_OF_VALUES.format(**{"price": "NULL::numeric", "created_at": "NULL"} | values)
        )
    finally:
        await connection.close()
    assert row is not None
    with pytest.raises(UnreadableRowError, match=reason):
        product_from(dict(row))


async def test_a_key_that_postgres_cannot_hold_is_a_permanent_error(postgres: Postgres) -> None:
    for key in ("a\0b", "\ud800"):
        with pytest.raises(SourceError) as caught:
            await postgres.fetch_row(key)
        assert caught.value.kind is ErrorKind.PERMANENT


async def test_a_wrong_password_is_an_outage_and_a_closed_port_is_transient(dsn: str, unused_tcp_port: int) -> None:
    with pytest.raises(SourceError, match="password") as caught:
        await Postgres.connect(dsn.replace("://lockstep:", "://lockstep:wrong-"))
    assert caught.value.kind is ErrorKind.OUTAGE
    with pytest.raises(SourceError, match=str(unused_tcp_port)) as caught:
        await Postgres.connect(f"postgresql://x@127.0.0.1:{unused_tcp_port}/shop")
    assert caught.value.kind is ErrorKind.TRANSIENT
    assert "lockstep up" in (caught.value.hint or "")


async def test_the_role_lockstep_may_write_rows_and_signals_and_not_change_the_table(dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        async with connection.transaction():
            await connection.execute("INSERT INTO public.debezium_signal (id, type) VALUES ($1, 'log')", uuid4().hex)
            await connection.fetchval("SELECT count(*) FROM pg_replication_slots")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("ALTER TABLE public.products REPLICA IDENTITY DEFAULT")
        assert await connection.fetchval("SELECT relreplident FROM pg_class WHERE relname = 'products'") == b"f"
    finally:
        await connection.close()


def test_load_stores_a_file_and_refuses_its_bad_rows(
    dsn: str, prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCKSTEP_POSTGRES_DSN", dsn)
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "shop.csv"
    path.write_text(f"article_id,name,price\n{prefix}1,One,1.00\n{prefix}2,Two,-1\n{prefix}3,Three,3\n")
    app = typer.Typer()
    demo.register(app)
    first = CliRunner().invoke(app, ["demo", "load", str(path)])
    assert first.exit_code == 1
    assert "line 3 refused: price is negative: -1" in first.stderr
    again = CliRunner().invoke(app, ["demo", "load", str(path), "--update", "--batch-size", "1"])
    counts = dict(line.rsplit(maxsplit=1) for line in again.stdout.splitlines())
    assert (counts["inserted"], counts["updated"], counts["unchanged"], counts["refused"]) == ("0", "0", "2", "1")
