"""What the indexer does with batches: effects, order, faults."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.document import Vectors
from schemas.errors import EmbeddingError, ErrorKind, SourceError, VectorStoreError
from schemas.product import Product
from schemas.recipe import Recipe
from schemas.record import Place, Record
from streams import retry_policy
from streams.counters import Counters
from streams.health import Health
from streams.indexer import Indexer
from streams.ports import LeaseLostError
from tests.fakes.pipeline import (
    NOW,
    CountingLease,
    FakeEmbedder,
    InMemoryTable,
    ListOfDeadLetters,
    RowsInMemory,
    Topic,
)
from tests.fakes.vector_store import FaultyVectorStore

BIG = "__debezium_unavailable_value"


@dataclass
class Pipeline:
    """An indexer among fakes."""

    store: FaultyVectorStore = field(default_factory=FaultyVectorStore)
    embedder: FakeEmbedder = field(default_factory=FakeEmbedder)
    rows: RowsInMemory = field(default_factory=RowsInMemory)
    table: InMemoryTable = field(default_factory=InMemoryTable)
    dead: ListOfDeadLetters = field(default_factory=ListOfDeadLetters)
    health: Health = field(default_factory=Health)
    topic: Topic = field(default_factory=Topic)
    counters: Counters = field(default_factory=Counters)
    outcomes: list[tuple[str, str]] = field(default_factory=list)

    def note(self, outcomes: Sequence[tuple[Place, str]]) -> None:
        """The trail."""
        self.outcomes += [(str(place), outcome) for place, outcome in outcomes]

    async def apply(self, *records: Record, lease: CountingLease | None = None, epoch: int = 0) -> None:
        indexer = Indexer(
            store=self.store,
            embedders=self.embedder,
            rows=self.rows,
            table=self.table,
            dead_letters=self.dead,
            health=self.health,
            counters=self.counters,
            epoch=epoch,
            trail=self,
            clock=lambda: NOW,
        )
        await indexer.apply(records, lease or CountingLease())

    def price(self, key: str) -> str:
        return self.store.points[key].payload["price_text"]


@pytest.fixture
def p() -> Pipeline:
    return Pipeline()


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry_policy, "FIRST_WAIT_SECONDS", 0.0001)
    monkeypatch.setattr(retry_policy, "LONGEST_WAIT_SECONDS", 0.001)


async def test_insert_becomes_a_point_with_its_provenance(p: Pipeline) -> None:
    await p.apply(p.topic.create("A1"))
    payload = p.store.points["A1"].payload
    assert payload["price"] == 19.99
    assert payload["price_text"] == "19.99"
    assert payload["_lockstep"] == {
        "version": 0,
        "lsn": 1008,
        "operation": "c",
        "source_time": "1970-01-01T00:00:01.008000Z",
        "recipe": Recipe().recipe_id,
        "embedding_fingerprint": payload["_lockstep"]["embedding_fingerprint"],
        "row_hash": payload["_lockstep"]["row_hash"],
        "indexed_at": "2026-11-20T10:00:00.000000Z",
        "source": "pgserver.public.products[0]@0",
    }


async def test_promise_3_price_update_is_not_embedded(p: Pipeline) -> None:
    await p.apply(p.topic.create("A1"))
    await p.apply(p.topic.update("A1", price="9.99"))
    assert p.price("A1") == "9.99"
    assert len(p.embedder.embedded) == 1
    assert p.counters.embeddings_avoided == 1


async def test_promise_3_redelivery_after_a_lost_table_is_not_embedded(p: Pipeline) -> None:
    record = p.topic.create("A1")
    await p.apply(record)
    p.table.entries.clear()
    await p.apply(record)
    assert len(p.embedder.embedded) == 1


async def test_promise_3_a_retry_does_not_embed_again(p: Pipeline) -> None:
    p.store.outages = 3
    await p.apply(p.topic.create("A1"))
    assert len(p.embedder.embedded) == 1
    assert "A1" in p.store.points


async def test_promise_3_texts_are_embedded_once_while_payload_writes_fail(p: Pipeline) -> None:
    await p.apply(p.topic.create("A1"))
    overwrite = p.store.overwrite_payloads
    model_first = []

    async def fail_twice(*args: Any) -> None:
        await asyncio.sleep(0)
        model_first.append(len(p.embedder.embedded) == 2)
        if len(model_first) < 3:
            raise VectorStoreError("cannot write points", kind=ErrorKind.OUTAGE)
        await overwrite(*args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(p.store, "overwrite_payloads", fail_twice)
        await p.apply(p.topic.update("A1", price="9.99"), p.topic.create("A2"))
    assert model_first == [True, True, True]  # it works while Qdrant does
    assert len(p.embedder.embedded) == 2
    assert (p.price("A1"), p.price("A2")) == ("9.99", "19.99")


async def test_text_that_is_refused_while_payloads_are_written_is_set_aside_alone(p: Pipeline) -> None:
    await p.apply(p.topic.create("A1"))
    p.embedder.refuse = "Poison"
    await p.apply(p.topic.update("A1", price="9.99"), p.topic.create("A2", name="Poison"), p.topic.create("A3"))
    assert p.price("A1") == "9.99"
    assert len(p.dead.places) == 1
    assert ("A2" in p.store.points, "A3" in p.store.points) == (False, True)


async def test_promise_3_records_older_than_the_point_are_not_embedded(p: Pipeline) -> None:
    first, second = p.topic.create("A1"), p.topic.update("A1", name="Tank top")
    await p.apply(first)
    await p.apply(second)
    p.table.entries.clear()
    await p.apply(first)
    await p.apply(second)
    assert len(p.embedder.embedded) == 2


async def test_texts_given_to_the_model_are_counted(p: Pipeline) -> None:
    p.store.after_write = 1
    await p.apply(*(p.topic.create(f"A{n}") for n in range(5)))
    assert len(p.embedder.embedded) == 1
    assert (p.counters.embeddings_made, p.counters.embeddings_avoided) == (1, 0)


async def test_text_then_price_in_one_batch_is_embedded_once_and_has_both(p: Pipeline) -> None:
    await p.apply(p.topic.create("A1"))
    await p.apply(p.topic.update("A1", name="Tank top"), p.topic.update("A1", name="Tank top", price="5.00"))
    assert p.store.points["A1"].payload["name"] == "Tank top"
    assert p.price("A1") == "5.00"
    assert len(p.embedder.embedded) == 2


async def test_delete_then_insert_in_one_batch_leaves_the_row(p: Pipeline) -> None:
    await p.apply(p.topic.create("A1"))
    await p.apply(p.topic.delete("A1"), p.topic.tombstone("A1"), p.topic.create("A1", price="1.00"))
    assert p.price("A1") == "1.00"
    assert len(p.embedder.embedded) == 1


async def test_promise_2_older_insert_does_not_revive_a_deleted_row(p: Pipeline) -> None:
    insert = p.topic.create("A1")
    await p.apply(insert)
    await p.apply(p.topic.delete("A1"), p.topic.tombstone("A1"))
    await p.apply(insert)
    assert p.store.points == {}


async def test_point_lost_in_qdrant_comes_back_with_a_price_update(p: Pipeline) -> None:
    await p.apply(p.topic.create("A1"))
    p.store.points.clear()
    await p.apply(p.topic.update("A1", price="9.99"))
    assert p.price("A1") == "9.99"


async def test_payload_does_not_land_on_the_vector_of_another_text(p: Pipeline) -> None:
    await p.apply(p.topic.create("A1"))
    p.store.points["A1"].provenance["embedding_fingerprint"] = "of another text"
    await p.apply(p.topic.update("A1", price="9.99"))
    assert p.price("A1") == "9.99"
    assert len(p.embedder.embedded) == 2


async def test_snapshot_read_restores_a_lost_point(p: Pipeline) -> None:
    await p.apply(p.topic.create("A1"))
    p.store.points.clear()
    await p.apply(p.topic.read("A1"))
    assert "A1" in p.store.points


async def test_table_is_written_after_the_points(p: Pipeline) -> None:
    p.store.reject.add("A1")
    p.store.probe_fails = False
    await p.apply(p.topic.create("A1"))
    assert p.table.writes == []
    assert p.dead.places == ["pgserver.public.products[0]@0"]


async def test_one_bad_record_is_set_aside_and_its_neighbours_are_applied(p: Pipeline) -> None:
    p.store.reject.add("A7")
    await p.apply(*(p.topic.create(f"A{n}") for n in range(20)))
    assert sorted(p.store.points) == sorted(f"A{n}" for n in range(20) if n != 7)
    assert p.dead.places == ["pgserver.public.products[0]@7"]
    assert p.dead.letters[0].error_class == "VectorStoreError"


async def test_a_text_that_cannot_be_embedded_is_set_aside(p: Pipeline) -> None:
    p.embedder.refuse = "poison"
    await p.apply(p.topic.create("A1"), p.topic.create("A2", name="poison"), p.topic.create("A3"))
    assert sorted(p.store.points) == ["A1", "A3"]
    assert p.dead.letters[0].error_class == "EmbeddingError"


async def test_after_a_refused_write_the_key_is_planned_without_that_record(p: Pipeline) -> None:
    p.embedder.refuse = "poison"
    await p.apply(p.topic.create("A1"), p.topic.update("A1", name="poison"))
    assert p.store.points["A1"].payload["name"] == "Strap top"
    assert p.dead.places == ["pgserver.public.products[0]@1"]
    entry = p.table.get("A1")
    assert entry is not None
    assert entry.incomplete


async def test_outage_is_not_poison(p: Pipeline) -> None:
    p.store.outages = 5
    await p.apply(p.topic.create("A1"))
    assert "A1" in p.store.points
    assert p.dead.letters == []
    assert p.health.held_reason is None


async def test_a_store_that_refuses_everything_is_an_outage(p: Pipeline) -> None:
    p.store.reject |= {"A1", "A2"}
    p.store.probe_fails = True

    async def mended() -> None:
        p.store.calls.append("probe")
        p.store.reject.clear()
        p.store.probe_fails = False

    original = p.store.probe

    async def probe(collection: str) -> None:
        try:
            await original(collection)
        finally:
            await mended()

    p.store.probe = probe  # type: ignore[method-assign]
    await p.apply(p.topic.create("A1"), p.topic.create("A2"))
    assert sorted(p.store.points) == ["A1", "A2"]
    assert p.dead.letters == []


async def test_a_model_that_refuses_everything_is_an_outage(p: Pipeline) -> None:
    refusals = 12

    async def embed(texts: Sequence[str]) -> list[Vectors]:
        nonlocal refusals
        if refusals:
            refusals -= 1
            raise EmbeddingError("cannot embed texts: invalid argument")
        return await FakeEmbedder().embed(texts)

    p.embedder.embed = embed  # type: ignore[method-assign]
    await p.apply(*(p.topic.create(f"A{n}", name=f"n{n}") for n in range(3)))
    assert sorted(p.store.points) == ["A0", "A1", "A2"]
    assert p.dead.letters == []


async def test_a_connection_lost_after_the_write_changes_nothing(p: Pipeline) -> None:
    p.store.after_write = 1
    await p.apply(p.topic.create("A1"))
    assert p.store.history["A1"] == [0]
    assert len(p.embedder.embedded) == 1


@pytest.mark.parametrize("ends_at", range(1, 5))
async def test_a_batch_whose_lease_ends_leaves_the_table_alone(p: Pipeline, ends_at: int) -> None:
    bad = p.topic.append("A2", b"not json")
    with pytest.raises(LeaseLostError):
        await p.apply(p.topic.create("A1"), bad, lease=CountingLease(ends_at=ends_at))
    assert p.table.writes == []


async def test_unavailable_column_is_filled_from_the_table(p: Pipeline) -> None:
    await p.apply(p.topic.create("A1", description="long text"))
    await p.apply(p.topic.update("A1", description=BIG, price="1.00"))
    assert p.store.points["A1"].payload["description"] == "long text"
    assert p.rows.asked == []


async def test_unavailable_column_of_an_unknown_key_is_read_from_postgres(p: Pipeline) -> None:
    p.rows.rows["A1"] = Product(id=1, article_id="A1", name="Strap top", description="from postgres")
    await p.apply(p.topic.update("A1", description=BIG))
    assert p.store.points["A1"].payload["description"] == "from postgres"


async def test_after_a_dead_letter_an_unavailable_column_is_read_from_postgres(p: Pipeline) -> None:
    await p.apply(p.topic.create("A1", description="old text"))
    await p.apply(p.topic.update("A1", description="new text", price="NaN"))
    p.rows.rows["A1"] = Product(id=1, article_id="A1", name="Strap top", description="new text")
    await p.apply(p.topic.update("A1", description=BIG, price="1.00"))
    assert p.store.points["A1"].payload["description"] == "new text"


async def test_unavailable_column_of_a_row_that_is_gone_is_skipped(p: Pipeline) -> None:
    await p.apply(p.topic.update("A1", description=BIG))
    assert p.store.points == {}
    assert p.dead.letters == []
    assert p.counters.actions["skip"] == 1


async def test_each_refused_record_of_a_key_is_one_dead_letter(p: Pipeline) -> None:
    p.rows.error = SourceError("cannot read row A1: price is NaN", kind=ErrorKind.PERMANENT)
    p.embedder.refuse = "poison"
    await p.apply(p.topic.update("A1", description=BIG), p.topic.update("A1", name="poison"))
    assert sorted(p.dead.places) == ["pgserver.public.products[0]@0", "pgserver.public.products[0]@1"]


async def test_delete_of_an_unknown_key_is_remembered(p: Pipeline) -> None:
    await p.apply(p.topic.delete("A1"))
    entry = p.table.get("A1")
    assert entry is not None
    assert entry.deleted


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"price": "NaN"}, "price is NaN"),
        ({"updated_at": "infinity"}, "updated_at"),
    ],
)
async def test_values_that_qdrant_cannot_hold_are_dead_letters(
    p: Pipeline, columns: dict[str, str], reason: str
) -> None:
    await p.apply(p.topic.create("A0"), p.topic.create("A1", **columns), p.topic.create("A2"))
    assert sorted(p.store.points) == ["A0", "A2"]
    assert reason in p.dead.letters[0].error


@pytest.mark.parametrize("columns", [{"name": ""}, {"name": "🧥 coat"}, {"description": "x" * 1_000_000}])
async def test_odd_texts_are_indexed(p: Pipeline, columns: dict[str, str]) -> None:
    await p.apply(p.topic.create("A1", **columns))
    assert p.store.points["A1"].payload | columns == p.store.points["A1"].payload


async def test_row_of_nulls_is_indexed(p: Pipeline) -> None:
    nulls = ("description", "product_type", "product_group", "color", "department", "index_name", "image_url")
    await p.apply(p.topic.create("A1", **dict.fromkeys((*nulls, "price", "created_at", "updated_at"))))
    assert p.store.points["A1"].payload["price"] is None


@pytest.mark.parametrize(
    ("key", "value"),
    [(b'{"article_id":"A1"}', b"{"), (b"{}", b"{}"), (b"\xff", b"{}"), (b'{"article_id":"A1"}', b'{"__op":"x"}')],
)
async def test_poison_is_a_dead_letter_with_its_original_bytes(p: Pipeline, key: bytes, value: bytes) -> None:
    await p.apply(p.topic.create("A0"), p.topic.append(None, value, raw=key), p.topic.create("A2"))
    assert sorted(p.store.points) == ["A0", "A2"]
    [letter] = p.dead.letters
    assert (letter.record.key, letter.record.value) == (key, value)
    assert dict(letter.headers())["lockstep-place"] == b"pgserver.public.products[0]@1"


def _final_state(topic: Topic) -> dict[str, str]:
    """What a table would hold after the records."""
    state: dict[str, str] = {}
    for record in topic.records:
        key = orjson.loads(record.key or b"{}")["article_id"]
        value = orjson.loads(record.value) if record.value else {"__op": "d"}
        if value["__op"] == "d":
            state.pop(key, None)
        else:
            state[key] = value["price"] + value["name"]
    return state


@settings(max_examples=60, deadline=None)
@given(
    steps=st.lists(
        st.tuples(st.sampled_from("cutdr"), st.sampled_from(["A", "B", "C"]), st.integers(0, 3)), max_size=25
    ),
    cuts=st.lists(st.tuples(st.integers(0, 25), st.integers(1, 6)), max_size=12),
)
async def test_promise_2_any_redelivery_ends_in_the_same_index(
    steps: Sequence[tuple[str, str, int]], cuts: Sequence[tuple[int, int]]
) -> None:
    """Batches may start again at any earlier record, as after a crash; at the end everything is delivered once more."""
    p = Pipeline()
    for operation, key, number in steps:
        match operation:
            case "c":
                p.topic.create(key, price=f"{number}.00", name=f"n{number}")
            case "u":
                p.topic.update(key, price=f"{number}.00", name="same")
            case "r":
                p.topic.read(key, price=f"{number}.00", name=f"n{number}")
            case "t":
                p.topic.update(key, price="7.00", name=f"n{number}")
            case _:
                p.topic.delete(key)
                p.topic.tombstone(key)
    records = p.topic.records
    for start, length in cuts:
        for batch in (records[:start], records[start : start + length]):
            if batch:
                await p.apply(*batch)
    await p.apply(*records)
    indexed = {k: pt.payload["price_text"] + pt.payload["name"] for k, pt in p.store.points.items()}
    assert indexed == _final_state(p.topic)
    for versions in p.store.history.values():
        assert versions == sorted(versions)


async def test_promise_1_each_record_of_a_batch_stands_in_the_trail_once(p: Pipeline) -> None:
    p.store.reject = {"c"}
    first = [p.topic.create("a"), p.topic.create("b"), p.topic.update("a", price="1.00"), p.topic.append("a", b"{")]
    first += [p.topic.create("c"), p.topic.append(None, b"x", raw=b"?"), p.topic.delete("b")]
    await p.apply(*first)
    await p.apply(*first[:2], p.topic.tombstone("b"))
    outcomes = [outcome for _, outcome in sorted(p.outcomes[:7])]
    assert outcomes == [
        "collapse",
        "collapse",
        "upsert_point",
        "dead_letter",
        "dead_letter",
        "dead_letter",
        "delete_point",
    ]
    assert [place for place, _ in sorted(p.outcomes[:7])] == [str(record.place) for record in first]
    assert sorted(outcome for _, outcome in p.outcomes[7:]) == [
        "keep",
        "redelivered_by_broker",
        "redelivered_by_broker",
    ]


async def test_a_batch_that_was_dropped_leaves_no_trail(p: Pipeline) -> None:
    with pytest.raises(LeaseLostError):
        await p.apply(p.topic.create("a"), lease=CountingLease(ends_at=2))
    assert p.outcomes == []


async def test_a_time_that_no_calendar_holds_is_left_out_of_the_point(p: Pipeline) -> None:
    record = p.topic.create("a")
    value = orjson.loads(record.value or b"") | {"__source_ts_ms": 300_000_000_000_000}
    await p.apply(p.topic.append("a", orjson.dumps(value)))
    assert p.store.points["a"].payload["_lockstep"]["source_time"] is None
    assert p.dead.places == []


async def test_promise_2_poison_in_another_partition_leaves_the_memory_of_a_row_alone(p: Pipeline) -> None:
    await p.apply(p.topic.create("a"))
    elsewhere = replace(p.topic.append("a", b"{"), place=Place(topic="pgserver.public.products", partition=5, offset=3))
    await p.apply(elsewhere)
    await p.apply(replace(elsewhere, place=replace(elsewhere.place, offset=4)), p.topic.update("a", price="1.00"))
    assert len(p.dead.places) == 2
    assert {entry.partition for entry in p.table.writes} == {0}
    entry = p.table.get("a")
    assert entry is not None
    assert not entry.incomplete
