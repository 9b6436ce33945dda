"""One row of the `products` table."""

from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from hashlib import blake2b
from operator import attrgetter
from typing import Any, Self

import orjson


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """A catalogue row, columns in the table's order; `docs/catalogue.md` has the DDL.

    Only `id`, `article_id` and `name` are never null. `price` is exact and finite, the times carry a zone.
    """

    id: int
    article_id: str
    name: str
    description: str | None = None
    product_type: str | None = None
    product_group: str | None = None
    color: str | None = None
    department: str | None = None
    index_name: str | None = None
    image_url: str | None = None
    price: Decimal | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None

    def to_bytes(self) -> bytes:
        """Compact and canonical: equal rows give equal bytes, whether read from the topic or from Postgres."""
        *texts, price, created_at, updated_at = _cells(self)
        return orjson.dumps([*texts, price_text(price), time_text(created_at), time_text(updated_at)])

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read what `to_bytes` wrote."""
        *texts, price, created_at, updated_at = orjson.loads(data)
        values = [
            *texts,
            None if price is None else Decimal(price),
            None if created_at is None else datetime.fromisoformat(created_at),
            None if updated_at is None else datetime.fromisoformat(updated_at),
        ]
        return cls(**dict(zip(COLUMNS, values, strict=True)))

    def payload(self) -> dict[str, Any]:
        """The columns as Qdrant stores them: flat, `price` a number, `price_text` exact, times ISO 8601 in UTC."""
        return {
            "id": self.id,
            "article_id": self.article_id,
            "name": self.name,
            "description": self.description,
            "product_type": self.product_type,
            "product_group": self.product_group,
            "color": self.color,
            "department": self.department,
            "index_name": self.index_name,
            "image_url": self.image_url,
            "price": None if self.price is None else float(self.price),
            "price_text": price_text(self.price),
            "created_at": time_text(self.created_at),
            "updated_at": time_text(self.updated_at),
        }


COLUMNS: tuple[str, ...] = tuple(field.name for field in fields(Product))
_cells = attrgetter(*COLUMNS)  # dataclasses.astuple copies each value deeply, which takes eight times as long
TEXT_COLUMNS: tuple[str, ...] = COLUMNS[1:10]


def row_hash(row: bytes) -> str:
    """Equality of rows as a short string: doubles in a payload may read back one unit in the last place off."""
    return blake2b(row, digest_size=16).hexdigest()


def price_text(price: Decimal | None) -> str | None:
    """The exact price without an exponent, its scale kept: `19.90`."""
    return None if price is None else format(price, "f")


def time_text(moment: datetime | None) -> str | None:
    """ISO 8601 in UTC with microseconds: `2026-11-20T10:00:00.000000Z`."""
    if moment is None:
        return None
    if moment.tzinfo is not UTC:
        moment = moment.astimezone(UTC)
    return f"{moment.isoformat(timespec='microseconds')[:-6]}Z"


_EPOCH = datetime.fromtimestamp(0, UTC)
LAST_MS = 253_402_300_799_999
"""The end of the year 9999: a later time cannot be written down."""


@lru_cache(1000)  # a batch has one time at which it was applied, and few at which its changes were made
def time_text_of_ms(milliseconds: int | None) -> str | None:
    """`time_text` of milliseconds since 1970; None, too, for a time that no calendar holds."""
    if milliseconds is None or not 0 <= milliseconds <= LAST_MS:
        return None
    return time_text(_EPOCH + timedelta(milliseconds=milliseconds))
