"""The bodies of products: what their bounds let through, and how exact a price stays."""

import json
from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

from schemas.debezium import MAX_ROW_BYTES
from schemas.product import TEXT_COLUMNS
from schemas.product_body import NewProduct, ProductPatch

SHIRT = {"article_id": "0108775015", "name": "Shirt"}


def read(**fields: Any) -> NewProduct:
    return NewProduct.model_validate_json(json.dumps(SHIRT | fields))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("article_id", ""),
        ("article_id", None),
        ("article_id", "x" * 256),
        ("article_id", "a\0b"),
        ("article_id", "a\n"),
        ("article_id", "\x1b[2J"),
        ("article_id", "\x9b2J"),
        ("article_id", 108775015),
        ("name", None),
        ("name", ""),
        ("name", "x" * 1001),
        ("name", "a\0b"),
        ("name", ["a"]),
        ("description", "x" * 65_537),
        ("description", "\0"),
        ("color", "x" * 256),
        ("color", 7),
        ("image_url", "x" * 2049),
        ("price", "-0.01"),
        ("price", -1),
        ("price", "19.999"),
        ("price", "19.900"),
        ("price", "100000000"),
        ("price", 100000000),
        ("price", 10**400),
        ("price", "NaN"),
        ("price", float("nan")),
        ("price", float("inf")),
        ("price", "1e3"),
        ("price", "1_0"),
        ("price", "\u0663"),
        ("price", " 1"),
        ("price", "1\n"),
        ("price", ""),
        ("price", True),
        ("price", {}),
        ("id", 7),
        ("updated_at", "2026-11-20T10:00:00Z"),
        ("name) VALUES ('x'); --", "x"),
    ],
)
def test_field_out_of_bounds_is_refused_by_its_name(field: str, value: Any) -> None:
    with pytest.raises(ValidationError) as caught:
        read(**{field: value})
    assert [error["loc"] for error in caught.value.errors()] == [(field,)]


@pytest.mark.parametrize(
    ("price", "kept"),
    [
        ("19.9", "19.9"),
        ("19.90", "19.90"),
        ("0", "0"),
        ("99999999.99", "99999999.99"),
        (99999999.99, "99999999.99"),
        (19.9, "19.90"),
        (0.1 + 0.2, "0.30"),
        (0.575, "0.58"),
        (-0.0, "0.00"),
        (7, "7.00"),
    ],
)
def test_price_is_exact_as_a_text_and_rounded_to_cents_as_a_number(price: Any, kept: str) -> None:
    assert str(read(price=price).price) == kept


def test_a_row_at_every_limit_fits_a_record_of_either_form() -> None:
    fields = NewProduct.model_json_schema()["properties"]
    limits = {
        column: next(
            bound["maxLength"] for bound in (fields[column], *fields[column].get("anyOf", ())) if "maxLength" in bound
        )
        for column in TEXT_COLUMNS
    }
    longest = {column: "👗" * limit for column, limit in limits.items()}
    assert read(**longest).article_id == longest["article_id"]
    # An envelope holds the row before and after; Debezium escapes this character into twelve bytes, as json does here.
    assert 2 * len(json.dumps(longest)) + 100_000 < MAX_ROW_BYTES


def test_patch_changes_what_it_names_only() -> None:
    patch = ProductPatch.model_validate_json('{"color": null, "price": "1.00"}')
    assert patch.changes() == {"color": None, "price": Decimal("1.00")}
    assert ProductPatch.model_validate_json("{}").changes() == {}
    assert not any("default" in field for field in ProductPatch.model_json_schema()["properties"].values())
