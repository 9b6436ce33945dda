"""Searches while the index is behind: what a fresh one shows, and what the age of the index promises."""

import asyncio
import time
from decimal import Decimal

import pytest

from connectors.kafka import KafkaAdmin
from ops.index_age import IndexAge
from ops.query_vectors import QueryVectors
from ops.search import SearchService
from ops.stores import open_embedders
from schemas.search import Filters, SearchQuery
from tests.e2e.conftest import Running

pytestmark = pytest.mark.stack


async def test_fresh_search_never_shows_a_price_or_a_row_that_is_gone(running: Running) -> None:
    """Every search comes directly after the commit, long before the change can have reached Qdrant."""
    embedders = open_embedders(running.stack.settings)
    service = SearchService(running.store, QueryVectors(embedders), running.rows)
    key = await running.insert("A1", name="tangerine yachting oilskin", price=Decimal("1.00"))
    await running.until_payload(key, price_text="1.00")

    async def price(**filters: Decimal) -> str | None:
        query = SearchQuery(text="tangerine yachting oilskin", filters=Filters(**filters))
        hits = (await service.search(query, fresh=True)).hits
        return next((hit.price for hit in hits if hit.article_id == key), None)

    for cents in range(101, 116):
        new = Decimal(cents) / 100
        await running.sql("UPDATE products SET price = $2 WHERE article_id = $1", key, new)
        assert await price() == f"{new:.2f}"
        assert await price(price_max=new - Decimal("0.01")) is None
    await running.sql("DELETE FROM products WHERE article_id = $1", key)
    assert await price() is None
    embedders.close()


async def test_what_is_older_than_the_age_of_the_index_is_in_it(running: Running) -> None:
    async with KafkaAdmin(running.stack.settings.kafka.brokers) as admin:
        age = IndexAge(running.rows, admin)
        for name in ("A1", "A2"):
            key = await running.insert(name)
            committed = time.monotonic()
            async with asyncio.timeout(30):
                while age.seconds is None or time.monotonic() - age.seconds < committed:
                    await age.look()
                    await asyncio.sleep(0.05)
            assert await running.payload(key) is not None
