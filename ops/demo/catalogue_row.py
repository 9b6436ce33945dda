"""One row of a foreign catalogue turned into a draft: which field feeds which column, and what is refused."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal
from html import unescape
from typing import Any

from connectors.postgres import DRAFT_COLUMNS, ProductDraft
from schemas.product_body import MAX_PRICE

KNOWN_FIELDS: Mapping[str, tuple[str, ...]] = {
    "article_id": ("article_id",),
    "name": ("name", "prod_name"),
    "description": ("description", "detail_desc"),
    "product_type": ("product_type", "product_type_name"),
    "product_group": ("product_group", "product_group_name"),
    "color": ("color", "colour_group_name"),
    "department": ("department", "department_name"),
    "index_name": ("index_name",),
    "image_url": ("image_url",),
    "price": ("price",),
}
"""Where a column is looked for without a map: our own name, then the one of H&M's `articles.csv`."""

REQUIRED = ("article_id", "name")
PROSE = ("name", "description", "product_type", "product_group", "color", "department", "index_name")
CENT = Decimal("0.01")
"""What numeric(10,2) holds."""

_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
# A tag starts with a letter, so that "5 < 6" stays.
_TAG = re.compile(r"<!--.*?-->|</?[a-zA-Z][^<>]*>", re.DOTALL)


class RowError(Exception):
    """Why a row is refused; the message is for a person and holds no more than a few words of the row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnMap:
    """How fields become columns: `fields` names one by column, `scale` is what the price is multiplied by."""

    fields: Mapping[str, str] = field(default_factory=dict)
    scale: Decimal = Decimal(1)
    strip_html: bool = False

    def candidates(self, column: str) -> tuple[str, ...]:
        """The fields a column is taken from: the first that the row has."""
        mapped = self.fields.get(column)
        return (mapped,) if mapped else KNOWN_FIELDS[column]

    def lacking(self, fields: Collection[str]) -> list[str]:
        """The columns that can never be filled from these fields though they are required, or mapped."""
        wanted = [column for column in DRAFT_COLUMNS if column in REQUIRED or column in self.fields]
        return [column for column in wanted if not any(name in fields for name in self.candidates(column))]


def draft_from(row: Mapping[str, Any], columns: ColumnMap) -> ProductDraft:
    """The row as a draft. Blank fields are null; a price is scaled, then rounded to cents as Postgres does.

    Raises:
        RowError: article_id or name is missing, a value is no text, or the price is none that the column holds.
    """
    values: dict[str, Any] = {}
    for column in DRAFT_COLUMNS:
        value = next((row[name] for name in columns.candidates(column) if name in row), None)
        if column == "price":
            values[column] = _price(value, columns.scale)
            continue
        text = _text(column, value)
        if text and columns.strip_html and column in PROSE:
            text = strip_html(text)
        values[column] = text or None
    for column in REQUIRED:
        if not values[column]:
            raise RowError(f"no {column}")
    return ProductDraft(**values)


def strip_html(text: str) -> str:
    """The text without tags, its entities as characters, its white space single."""
    return " ".join(unescape(_TAG.sub(" ", text)).split())


def _text(column: str, value: Any) -> str:
    match value:
        case None:
            return ""
        case str():
            text = value
        case int() if not isinstance(value, bool):
            text = str(value)
        case _:
            raise RowError(f"{column} is no text but a {type(value).__name__}")
    if "\0" in text:
        raise RowError(f"{column} has a NUL character")
    # Bytes that are not UTF-8 were read as surrogates.
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise RowError(f"{column} is not UTF-8")
    return text.strip()


def _price(value: Any, scale: Decimal) -> Decimal | None:
    text = str(value).strip() if isinstance(value, str | int | float) and not isinstance(value, bool) else value
    if text is None or text == "":
        return None
    if not isinstance(text, str) or not _NUMBER.fullmatch(text):
        raise RowError(f"price is no number: {str(value)[:40]!r}")
    price = Decimal(text) * scale
    if price < 0:
        raise RowError(f"price is negative: {text[:40]}")
    # Compared before rounding: a huge exponent cannot be rounded.
    if price > MAX_PRICE or (rounded := price.quantize(CENT, ROUND_HALF_UP)) > MAX_PRICE:
        raise RowError(f"price is above {MAX_PRICE}: {text[:40]}")
    return rounded
