"""Events as records: what stands in headers and body, and back again."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, get_type_hints

import orjson
import pytest
from pydantic import ValidationError

from schemas.errors import DecodeError
from schemas.fanout_event import (
    EVENT_MODELS,
    TYPE_PREFIX,
    EventHeaders,
    FanoutEvent,
    PriceChanged,
    ProductRow,
    event_id,
    row_from_bytes,
)
from schemas.product import COLUMNS, Product, price_text, time_text
from schemas.record import Place, Record
from streams.topics import DECLARATIONS, EVENTS, MAX_RECORD_BYTES, PARTITIONS

PLACE = Place(topic="pgserver.public.products", partition=3, offset=1041)


def price_changed(**fields: Any) -> FanoutEvent:
    data = PriceChanged(
        **{
            "article_id": "0108775015",
            "version": 1041,
            "source": str(PLACE),
            "lsn": 42,
            "committed_at": "2026-11-20T10:00:00.000000Z",
            "old_price": "19.90",
            "new_price": None,
            "from_snapshot": False,
        }
        | fields
    )
    return FanoutEvent.of(data, id=event_id(PriceChanged, PLACE, 2), partition=3)


def record(event: FanoutEvent, **changes: Any) -> Record:
    stored = {"key": event.key, "value": event.body, "headers": tuple(event.headers())} | changes
    return Record(place=Place(topic=event.topic, partition=event.partition, offset=7), **stored)


def test_event_is_a_cloud_event_in_binary_mode() -> None:
    event = price_changed()
    assert dict(event.headers()) == {
        "ce_specversion": b"1.0",
        "ce_id": b"products.price-changed.v1/2/pgserver.public.products[3]@1041",
        "ce_type": b"lockstep.products.price-changed.v1",
        "ce_source": b"/lockstep/products",
        "ce_subject": b"0108775015",
        "ce_time": b"2026-11-20T10:00:00.000000Z",
        "content-type": b"application/json",
    }
    assert event.key == b"0108775015"
    assert orjson.loads(event.body) == {
        "article_id": "0108775015",
        "version": 1041,
        "source": "pgserver.public.products[3]@1041",
        "lsn": 42,
        "committed_at": "2026-11-20T10:00:00.000000Z",
        "old_price": "19.90",
        "new_price": None,
        "from_snapshot": False,
    }


def test_headers_are_those_of_their_model() -> None:
    names = [name for name, _ in price_changed().headers()]
    assert sorted(names) == sorted(field.alias or name for name, field in EventHeaders.model_fields.items())


def test_without_a_commit_time_the_header_is_left_out() -> None:
    event = price_changed(committed_at=None)
    assert "ce_time" not in dict(event.headers())
    assert FanoutEvent.from_record(record(event)) == event


@pytest.mark.parametrize("article_id", ["0108775015", "🧥 coat", "a\nb\x01"])
def test_record_is_read_back_as_the_event(article_id: str) -> None:
    event = price_changed(article_id=article_id)
    assert FanoutEvent.from_record(record(event)) == event


def test_fields_of_a_later_version_are_ignored() -> None:
    event = price_changed()
    later = record(event, value=orjson.dumps(orjson.loads(event.body) | {"currency": "EUR"}))
    assert FanoutEvent.from_record(later) == event


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"headers": ()}, id="no headers"),
        pytest.param({"headers": (("ce_id", b"\xff"),)}, id="header is no text"),
        pytest.param({"value": None}, id="no body"),
        pytest.param({"value": b"{"}, id="body is no JSON"),
        pytest.param({"value": b"{}"}, id="body lacks fields"),
        pytest.param(
            {"headers": tuple(EventHeaders(ce_id="1", ce_type="x", ce_subject="A").model_dump(by_alias=True).items())},
            id="unknown type",
        ),
    ],
)
def test_what_is_no_event_is_refused_with_its_place(changes: dict[str, Any]) -> None:
    if "headers" in changes:
        changes["headers"] = tuple((n, v.encode() if isinstance(v, str) else v) for n, v in changes["headers"] if v)
    with pytest.raises(DecodeError, match=r"products\.price-changed\.v1\[3\]@7"):
        FanoutEvent.from_record(record(price_changed(), **changes))


def test_prices_are_decimals() -> None:
    with pytest.raises(ValidationError):
        price_changed(new_price="1e3")


def test_events_do_not_change() -> None:
    with pytest.raises(ValidationError):
        price_changed().data.version = 1  # type: ignore[misc]


def test_id_tells_events_and_epochs_apart() -> None:
    ids = {event_id(model, PLACE, epoch) for model in EVENT_MODELS for epoch in (0, 1)}
    assert len(ids) == 2 * len(EVENT_MODELS)


def test_row_of_an_event_is_the_row_of_the_catalogue() -> None:
    product = Product(
        id=1, article_id="A1", name="Strap top", price=Decimal("19.90"), created_at=datetime(2026, 11, 20, tzinfo=UTC)
    )
    row = row_from_bytes(product.to_bytes())
    assert tuple(get_type_hints(ProductRow)) == COLUMNS
    assert row == {column: getattr(product, column) for column in COLUMNS} | {
        "price": price_text(product.price),
        "created_at": time_text(product.created_at),
    }


def test_each_event_has_a_topic_that_is_keyed_like_the_source() -> None:
    declared = {topic.name: topic for topic in DECLARATIONS}
    for name in EVENTS:
        assert declared[name].partitions == PARTITIONS
        assert declared[name].config["max.message.bytes"] == str(MAX_RECORD_BYTES)
    assert {TYPE_PREFIX + name for name in EVENTS} == {
        "lockstep.products.changed.v1",
        "lockstep.products.price-changed.v1",
        "lockstep.products.removed.v1",
        "lockstep.products.indexed.v1",
    }


def test_a_version_fits_a_double() -> None:
    with pytest.raises(ValidationError):
        price_changed(version=1 << 50)
