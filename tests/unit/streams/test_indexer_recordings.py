"""Debezium's recorded streams through the indexer: the index ends as the table did."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import pytest

from schemas.errors import SchemaMismatch
from schemas.product import Product
from streams.counters import Counters
from streams.health import Health
from streams.indexer import Indexer
from tests.fakes.pipeline import CountingLease, FakeEmbedder, InMemoryTable, ListOfDeadLetters, RowsInMemory
from tests.fakes.recordings import (
    FINAL_PRICES,
    FORMS,
    GHOSTS_UNDER_DEFAULT_IDENTITY,
    Line,
    expected_rows,
    main_scenario,
    outcome,
    product_lines,
)
from tests.fakes.vector_store import InMemoryVectorStore


async def indexed(stream: Iterable[Line], batch: int) -> dict[str, dict[str, Any]]:
    """The payloads after the stream, in batches of so many records.

    A record that lacks a column is left out: it would hold the worker until the table has its column again. Postgres
    answers as it stood at the end.
    """
    store = InMemoryVectorStore()
    rows = {
        key: Product(**row | {"price": None if row["price"] is None else Decimal(row["price"])})
        for key, row in expected_rows().items()
    }
    indexer = Indexer(
        store=store,
        embedders=FakeEmbedder(),
        rows=RowsInMemory(rows),
        table=InMemoryTable(),
        dead_letters=ListOfDeadLetters(),
        health=Health(),
        counters=Counters(),
    )
    records = [line.record for line in stream if not isinstance(outcome(line), SchemaMismatch)]
    for start in range(0, len(records), batch):
        await indexer.apply(records[start : start + batch], CountingLease())
    return {key: point.payload for key, point in store.points.items()}


def without_times(payload: dict[str, Any]) -> dict[str, Any]:
    """The payload in the shape of the expected rows."""
    left_out = ("created_at", "updated_at", "price_text", "_lockstep")
    return {name: value for name, value in payload.items() if name not in left_out} | {"price": payload["price_text"]}


@pytest.mark.parametrize("batch", [1, 7, 1000])
@pytest.mark.parametrize("identity", ["full", "index"])
@pytest.mark.parametrize("form", FORMS)
async def test_index_ends_as_the_table_did(form: str, identity: str, batch: int) -> None:
    index = await indexed(main_scenario(form, identity), batch)
    assert {key: without_times(payload) for key, payload in index.items()} == expected_rows()


@pytest.mark.parametrize("form", FORMS)
async def test_default_identity_leaves_the_listed_ghosts_and_no_other(form: str) -> None:
    index = await indexed(main_scenario(form, "default"), 7)
    # One less than a plain replay leaves: it got its key in an update without its description, and Postgres has no
    # such row to read it from.
    ghosts = {key: name for key, name in GHOSTS_UNDER_DEFAULT_IDENTITY.items() if key != "0110065021"}
    assert {key: payload["name"] for key, payload in index.items() if key not in expected_rows()} == ghosts


@pytest.mark.parametrize("batch", [1, 1000])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("case", FINAL_PRICES)
async def test_case_ends_with_these_prices(case: str, form: str, batch: int) -> None:
    index = await indexed((line for line in product_lines() if line.stream == (case, form, "full")), batch)
    assert {key: payload["price_text"] for key, payload in index.items()} == FINAL_PRICES[case]
