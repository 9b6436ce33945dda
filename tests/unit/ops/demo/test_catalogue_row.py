"""One foreign row: which field feeds which column, and what is refused."""

from decimal import Decimal
from typing import Any

import pytest

from ops.demo.catalogue_row import ColumnMap, RowError, draft_from, strip_html

ROW = {"article_id": "7", "name": "Top"}

REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no key": ({"name": "Top"}, "no article_id"),
    "blank key": ({"article_id": "  ", "name": "Top"}, "no article_id"),
    "no name": ({"article_id": "7"}, "no name"),
    "null name": (ROW | {"name": None}, "no name"),
    "a list": (ROW | {"description": ["a"]}, "description is no text but a list"),
    "a truth value": (ROW | {"color": True}, "color is no text but a bool"),
    "a float as key": ({"article_id": 1.5, "name": "Top"}, "article_id is no text but a float"),
    "NUL": (ROW | {"description": "a\0b"}, "description has a NUL character"),
    "bytes that are not UTF-8": (ROW | {"name": b"caf\xe9".decode(errors="surrogateescape")}, "name is not UTF-8"),
    "price in words": (ROW | {"price": "cheap"}, "price is no number: 'cheap'"),
    "price with a comma": (ROW | {"price": "1,50"}, "price is no number"),
    "price NaN": (ROW | {"price": "NaN"}, "price is no number"),
    "price infinite": (ROW | {"price": float("inf")}, "price is no number"),
    "price a list": (ROW | {"price": [1]}, "price is no number"),
    "price true": (ROW | {"price": True}, "price is no number"),
    "price negative": (ROW | {"price": -1}, "price is negative"),
    "price too large": (ROW | {"price": "100000000"}, "price is above 99999999.99"),
    "price rounded too large": (ROW | {"price": "99999999.995"}, "price is above 99999999.99"),
    "price huge": (ROW | {"price": "1e999999"}, "price is above 99999999.99"),
}


@pytest.mark.parametrize(("row", "reason"), REFUSED.values(), ids=REFUSED)
def test_a_bad_row_is_refused_with_its_reason(row: dict[str, Any], reason: str) -> None:
    with pytest.raises(RowError, match=reason.replace(".", r"\.")):
        draft_from(row, ColumnMap())


PRICES = {
    "text": ("19.99", "19.99"),
    "float": (19.99, "19.99"),
    "whole": (20, "20.00"),
    "exponent": ("2e1", "20.00"),
    "tiny": ("1e-999999", "0.00"),
    "rounded as Postgres does": ("1.005", "1.01"),
    "largest": ("99999999.99", "99999999.99"),
    "blank": (" ", None),
    "null": (None, None),
}


@pytest.mark.parametrize(("value", "price"), PRICES.values(), ids=PRICES)
def test_a_price_is_exact(value: object, price: str | None) -> None:
    assert draft_from(ROW | {"price": value}, ColumnMap()).price == (None if price is None else Decimal(price))


def test_a_scale_turns_cents_into_units() -> None:
    assert draft_from(ROW | {"price": 4995}, ColumnMap(scale=Decimal("0.01"))).price == Decimal("49.95")


def test_the_columns_of_h_and_m_are_known_without_a_map() -> None:
    draft = draft_from(
        {
            "article_id": "0108775015",
            "prod_name": "Strap top",
            "detail_desc": "Jersey top.",
            "product_type_name": "Vest top",
            "product_group_name": "Upper body",
            "colour_group_name": "Black",
            "department_name": "Jersey Basic",
            "index_name": "Ladieswear",
            "product_code": "0108775",
        },
        ColumnMap(),
    )
    assert (draft.name, draft.description, draft.color) == ("Strap top", "Jersey top.", "Black")
    assert (draft.product_type, draft.product_group, draft.department) == ("Vest top", "Upper body", "Jersey Basic")
    assert (draft.index_name, draft.image_url, draft.price) == ("Ladieswear", None, None)


def test_a_map_replaces_the_known_names() -> None:
    draft = draft_from(ROW | {"title": "Real"}, ColumnMap(fields={"name": "title"}))
    assert draft.name == "Real"


def test_numbers_become_text_and_blanks_become_null() -> None:
    draft = draft_from({"article_id": 42, "name": " Top ", "description": "", "color": "  "}, ColumnMap())
    assert (draft.article_id, draft.name, draft.description, draft.color) == ("42", "Top", None, None)


def test_html_stays_unless_it_is_to_go() -> None:
    row = ROW | {"description": "Soft &amp; warm<br />5 < 6", "image_url": "http://x/?a=1&amp;b=2"}
    assert draft_from(row, ColumnMap()).description == "Soft &amp; warm<br />5 < 6"
    stripped = draft_from(row, ColumnMap(strip_html=True))
    assert stripped.description == "Soft & warm 5 < 6"
    assert stripped.image_url == "http://x/?a=1&amp;b=2"


def test_a_name_of_tags_alone_is_no_name() -> None:
    with pytest.raises(RowError, match="no name"):
        draft_from(ROW | {"name": "<br />"}, ColumnMap(strip_html=True))


def test_strip_html_knows_comments_attributes_and_unclosed_signs() -> None:
    assert strip_html('<p class="a">One<!-- <b>no</b> --></p>\n two &lt;b&gt; <3') == "One two <b> <3"
