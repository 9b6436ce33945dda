"""Which events a batch gives: a table of histories, and what is too large for a record."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from schemas.change import Operation
from schemas.fanout_event import FanoutEvent, PriceChanged, ProductChanged, ProductIndexed, ProductRemoved
from schemas.product import COLUMNS, LAST_MS
from schemas.recipe import Recipe
from streams.fanout import FRAME_BYTES, route
from streams.ports import TableEntry
from tests.fakes.events import steps_of
from tests.fakes.pipeline import NOW, InMemoryTable, Topic

History = Callable[[Topic], object]


async def routed(topic: Topic, *histories: History, recipe: Recipe | None = None) -> list[FanoutEvent]:
    """The events of the last batch; each history is a batch that the table remembers."""
    table = InMemoryTable()
    events: list[FanoutEvent] = []
    for history in histories:
        start = len(topic.records)
        history(topic)
        steps = await steps_of(topic.records[start:], table, recipe)
        events = route(steps, searchable_at=NOW)
        await table.put([TableEntry(partition=0, key=step.key, row=step.after) for step in steps if step.after])
    return events


def told(event: FanoutEvent) -> str:
    match event.data:
        case ProductChanged() as data:
            snapshot = " (snapshot)" if data.from_snapshot else ""
            return f"{data.operation} {data.article_id} {data.before and data.before['price']} → " + (
                f"{data.after and data.after['price']}{snapshot}"
            )
        case PriceChanged() as data:
            return f"price {data.article_id} {data.old_price} → {data.new_price}"
        case ProductRemoved() as data:
            return f"removed {data.article_id} {data.row and data.row['price']}"
        case ProductIndexed() as data:
            return f"indexed {data.article_id} @{data.version}"


def of(*operations: str) -> History:
    """A batch, each operation as `create 1.00`; of key A unless it says another."""

    def history(topic: Topic) -> None:
        for operation in operations:
            verb, *rest = operation.split()
            price, key = (rest[0] if rest else "19.99"), (rest[1] if len(rest) > 1 else "A")
            if verb in ("delete", "tombstone"):
                getattr(topic, verb)(key)
            elif verb == "poison":
                topic.append(key, b"{")
            else:
                getattr(topic, verb)(key, price=None if price == "null" else price)

    return history


@pytest.mark.parametrize(
    ("before", "batch", "expected"),
    [
        pytest.param([], ["create 1.00"], ["create A None → 1.00", "indexed A @0"], id="insert"),
        pytest.param(
            [], ["read 1.00"], ["create A None → 1.00 (snapshot)", "indexed A @0"], id="snapshot of a new row"
        ),
        pytest.param(["create 1.00"], ["read 1.00"], [], id="snapshot of an equal row is silent"),
        pytest.param(["create 1.00"], ["update 1.00"], [], id="update that changes nothing is silent"),
        pytest.param(["create 1.00"], ["create 1.00"], [], id="create of an equal row is silent"),
        pytest.param(
            ["create 1.00"],
            ["read 2.00"],
            ["update A 1.00 → 2.00 (snapshot)", "price A 1.00 → 2.00", "indexed A @1"],
            id="snapshot of a row that changed unseen",
        ),
        pytest.param(
            ["create 1.00"],
            ["update 2.00"],
            ["update A 1.00 → 2.00", "price A 1.00 → 2.00", "indexed A @1"],
            id="price update",
        ),
        pytest.param(
            ["create 1.90"], ["update 1.9"], ["update A 1.90 → 1.9", "indexed A @1"], id="another scale is no new price"
        ),
        pytest.param(
            ["create null"],
            ["update 2.00"],
            ["update A None → 2.00", "price A None → 2.00", "indexed A @1"],
            id="first price",
        ),
        pytest.param(
            ["create 1.00"],
            ["update null"],
            ["update A 1.00 → None", "price A 1.00 → None", "indexed A @1"],
            id="price taken away",
        ),
        pytest.param(["create 1.00"], ["delete"], ["delete A 1.00 → None", "removed A 1.00"], id="delete"),
        pytest.param(["create 1.00"], ["tombstone"], ["delete A 1.00 → None", "removed A 1.00"], id="tombstone alone"),
        pytest.param(
            ["create 1.00"],
            ["delete", "tombstone"],
            ["delete A 1.00 → None", "removed A 1.00"],
            id="the tombstone after a delete is silent",
        ),
        pytest.param(["create 1.00", "delete"], ["tombstone"], [], id="tombstone of a deleted row is silent"),
        pytest.param(["create 1.00", "delete"], ["delete"], [], id="second delete is silent"),
        pytest.param([], ["delete"], ["delete A 19.99 → None", "removed A 19.99"], id="delete of an unknown row"),
        pytest.param([], ["tombstone"], ["delete A None → None", "removed A None"], id="tombstone of an unknown row"),
        pytest.param(
            ["create 1.00", "delete"], ["create 2.00"], ["create A None → 2.00", "indexed A @2"], id="inserted again"
        ),
        pytest.param(
            ["create 1.00"],
            ["update 2.00", "update 3.00", "update 2.00"],
            [
                "update A 1.00 → 2.00",
                "price A 1.00 → 2.00",
                "update A 2.00 → 3.00",
                "price A 2.00 → 3.00",
                "update A 3.00 → 2.00",
                "price A 3.00 → 2.00",
                "indexed A @3",
            ],
            id="every change of a batch, indexed once",
        ),
        pytest.param(
            ["create 1.00"],
            ["update 2.00", "update 1.00"],
            [
                "update A 1.00 → 2.00",
                "price A 1.00 → 2.00",
                "update A 2.00 → 1.00",
                "price A 2.00 → 1.00",
                "indexed A @2",
            ],
            id="there and back in one batch",
        ),
        pytest.param(
            ["create 1.00"],
            ["update 2.00", "update 2.00"],
            ["update A 1.00 → 2.00", "price A 1.00 → 2.00", "indexed A @2"],
            id="a change, then none: indexed names the last record",
        ),
        pytest.param(
            [],
            ["create 1.00", "delete"],
            ["create A None → 1.00", "delete A 1.00 → None", "removed A 1.00"],
            id="came and went in one batch",
        ),
        pytest.param(
            ["create 1.00"],
            ["delete", "tombstone", "create 2.00"],
            ["delete A 1.00 → None", "removed A 1.00", "create A None → 2.00", "indexed A @3"],
            id="deleted and inserted again in one batch",
        ),
        pytest.param(
            ["create 1.00"],
            ["update 2.00", "poison", "update 3.00"],
            [
                "update A 1.00 → 2.00",
                "price A 1.00 → 2.00",
                "update A 2.00 → 3.00",
                "price A 2.00 → 3.00",
                "indexed A @3",
            ],
            id="a record that is set aside is silent",
        ),
        pytest.param(
            [],
            ["create 1.00 B", "create 1.00 A", "update 2.00 B"],
            [
                "create B None → 1.00",
                "create A None → 1.00",
                "indexed A @1",
                "update B 1.00 → 2.00",
                "price B 1.00 → 2.00",
                "indexed B @2",
            ],
            id="several keys in the order of the topic",
        ),
    ],
)
async def test_batch_gives_events(before: list[str], batch: list[str], expected: list[str]) -> None:
    events = await routed(Topic(), of(*before), of(*batch))
    assert [told(event) for event in events] == expected


async def test_event_says_where_it_comes_from() -> None:
    events = await routed(Topic(), of("create 1.00"), lambda topic: topic.update("A", price="2.00", color="Red"))
    [changed, price, indexed] = events
    assert [event.id for event in events] == [
        "products.changed.v1/0/pgserver.public.products[0]@1",
        "products.price-changed.v1/0/pgserver.public.products[0]@1",
        "products.indexed.v1/0/pgserver.public.products[0]@1",
    ]
    for event in events:
        assert event.partition == 0
        assert event.data.source == "pgserver.public.products[0]@1"
        assert (event.data.version, event.data.lsn) == (1, 1016)
        assert event.data.committed_at == "1970-01-01T00:00:01.016000Z"
    assert isinstance(changed.data, ProductChanged)
    assert changed.data.changed_fields == ("color", "price")
    assert changed.data.after is not None
    assert tuple(changed.data.after) == COLUMNS
    assert isinstance(price.data, PriceChanged)
    assert isinstance(indexed.data, ProductIndexed)
    assert indexed.data.recipe == Recipe().recipe_id
    assert indexed.data.searchable_at == "2026-11-20T10:00:00.000000Z"


async def test_event_goes_to_the_partition_of_its_record() -> None:
    record = Topic().create("A")
    moved = replace(record, place=replace(record.place, partition=4))
    events = route(await steps_of([moved], InMemoryTable()), searchable_at=NOW)
    assert {event.partition for event in events} == {4}


async def test_places_of_a_source_topic_made_anew_give_other_ids() -> None:
    [step] = await steps_of([Topic().create("A")], InMemoryTable())
    anew = replace(step.applied[0].change, version=step.applied[0].change.place.version(1))
    again = replace(step, applied=(replace(step.applied[0], change=anew),))
    [first, *_], [second, *_] = route([step], searchable_at=NOW), route([again], searchable_at=NOW)
    assert first.id == "products.changed.v1/0/pgserver.public.products[0]@0"
    assert second.id == "products.changed.v1/1/pgserver.public.products[0]@0"


@pytest.mark.parametrize("verb", ["create", "delete"])
async def test_all_fields_of_a_row_that_came_or_went_have_changed(verb: str) -> None:
    [changed, *_] = await routed(Topic(), of(verb))
    assert isinstance(changed.data, ProductChanged)
    assert changed.data.changed_fields == COLUMNS


async def test_redelivered_records_are_silent() -> None:
    topic, table = Topic(), InMemoryTable()
    of("create 1.00", "update 2.00", "delete", "tombstone")(topic)
    steps = await steps_of(topic.records, table)
    await table.put([TableEntry(partition=0, key=step.key, row=step.after) for step in steps if step.after])
    assert route(await steps_of(topic.records, table), searchable_at=NOW) == []


async def test_another_recipe_is_no_change() -> None:
    topic, table = Topic(), InMemoryTable()
    steps = await steps_of([topic.create("A")], table)
    await table.put([TableEntry(partition=0, key=step.key, row=step.after) for step in steps if step.after])
    steps = await steps_of([topic.update("A")], table, Recipe(model="another", dimensions=3))
    assert route(steps, searchable_at=NOW) == []


async def test_a_time_that_no_calendar_holds_is_left_out() -> None:
    [step] = await steps_of([Topic().create("A")], InMemoryTable())
    for milliseconds, expected in ((LAST_MS, "9999-12-31T23:59:59.999000Z"), (LAST_MS + 1, None), (None, None)):
        change = replace(step.applied[0].change, source_time_ms=milliseconds, operation=Operation.CREATE)
        applied = replace(step.applied[0], change=change)
        [event, *_] = route([replace(step, applied=(applied,))], searchable_at=datetime.now(UTC))
        assert event.data.committed_at == expected


async def large(limit_bytes: int, *, text: int, changed_text: int) -> FanoutEvent:
    """The `changed` event of a row with a long description whose colour changes to a text of such a length."""
    topic, table = Topic(), InMemoryTable()
    description = "x" * text
    steps = await steps_of([topic.create("A", description=description)], table)
    await table.put([TableEntry(partition=0, key=step.key, row=step.after) for step in steps if step.after])
    steps = await steps_of([topic.update("A", description=description, color="y" * changed_text)], table)
    [event, *_] = route(steps, searchable_at=NOW, limit_bytes=limit_bytes)
    assert len(event.body) + FRAME_BYTES <= limit_bytes
    return event


async def test_event_that_fits_is_whole() -> None:
    event = await large(FRAME_BYTES + 22_000, text=10_000, changed_text=10)
    assert isinstance(event.data, ProductChanged)
    assert event.data.cut is False


async def test_event_too_large_is_cut_to_the_changed_fields() -> None:
    event = await large(FRAME_BYTES + 2_000, text=10_000, changed_text=10)
    assert isinstance(event.data, ProductChanged)
    assert event.data.cut is True
    assert event.data.changed_fields == ("color",)
    assert (event.data.before, event.data.after) == ({"color": "Black"}, {"color": "y" * 10})


async def test_event_whose_changed_fields_are_too_large_names_them_only() -> None:
    event = await large(FRAME_BYTES + 2_000, text=10_000, changed_text=3_000)
    assert isinstance(event.data, ProductChanged)
    assert event.data.cut is True
    assert event.data.changed_fields == ("color",)
    assert (event.data.before, event.data.after) == ({}, {})


async def test_rows_that_came_or_went_and_are_too_large_are_left_out() -> None:
    topic, table = Topic(), InMemoryTable()
    limit = FRAME_BYTES + 2_000
    steps = await steps_of([topic.create("A", description="x" * 10_000)], table)
    [created, _] = route(steps, searchable_at=NOW, limit_bytes=limit)
    await table.put([TableEntry(partition=0, key=step.key, row=step.after) for step in steps if step.after])
    [deleted, removed] = route(await steps_of([topic.delete("A")], table), searchable_at=NOW, limit_bytes=limit)
    assert isinstance(created.data, ProductChanged)
    assert (created.data.cut, created.data.before, created.data.after) == (True, None, {})
    assert isinstance(deleted.data, ProductChanged)
    assert (deleted.data.cut, deleted.data.before, deleted.data.after) == (True, {}, None)
    assert isinstance(removed.data, ProductRemoved)
    assert (removed.data.cut, removed.data.row) == (True, {})


async def test_events_of_the_rules_have_every_field_of_their_model_and_each_is_valid() -> None:
    """They are not validated on their way: `data` validates them here."""
    events = [
        *await routed(Topic(), of("create 1.00"), of("update 2.00")),
        *await routed(Topic(), of("create 1.00"), of("delete")),
        await large(FRAME_BYTES + 2_000, text=10_000, changed_text=10),
    ]
    assert {event.model for event in events} == {ProductChanged, PriceChanged, ProductRemoved, ProductIndexed}
    for event in events:
        assert vars(event.data) == event.fields
        assert event.fields.keys() == event.model.model_fields.keys()
