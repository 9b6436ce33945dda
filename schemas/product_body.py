"""Products as the HTTP API takes and gives them.

The limits keep a row in a record of Debezium's, in either of its forms, below the 2 MiB that a worker takes, even when
each of its characters is escaped into twelve bytes and the record holds the row before the change as well.
"""

import re
from decimal import ROUND_HALF_UP, Decimal
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from schemas.product import Product, price_text, time_text

MAX_PRICE = Decimal("99999999.99")
"""What numeric(10,2) holds."""

_CENT = Decimal("0.01")
_PRICE = r"[0-9]{1,8}(\.[0-9]{1,2})?"
# Postgres stores no NUL in a text; other control characters in a key would be orders to a terminal and to a log.
_NO_NUL = r"^[^\u0000]*$"
_NO_CONTROLS = r"^[^\u0000-\u001f\u007f-\u009f]+$"


def _price(value: Any) -> Decimal:
    """A text is exact or refused; a number, which most programs hold as a double, is rounded to cents."""
    match value:
        case str() if re.fullmatch(_PRICE, value):
            return Decimal(value)
        case str():
            raise ValueError("write a price as digits with at most two after a point: 19.90")
        case bool():
            raise ValueError("a price is a text or a number")
        case int() | float() if 0 <= value <= MAX_PRICE:
            return abs(Decimal(repr(value)).quantize(_CENT, ROUND_HALF_UP))
        case int() | float():
            raise ValueError(f"a price lies between 0 and {MAX_PRICE}")
        case _:
            raise ValueError("a price is a text or a number")


ArticleId = Annotated[
    str,
    Field(min_length=1, max_length=255, pattern=_NO_CONTROLS, description="The key.", examples=["0108775015"]),
]
Name = Annotated[str, Field(min_length=1, max_length=1000, pattern=_NO_NUL)]
Description = Annotated[str, Field(max_length=65_536, pattern=_NO_NUL)]
Label = Annotated[str, Field(max_length=255, pattern=_NO_NUL)]
Address = Annotated[str, Field(max_length=2048, pattern=_NO_NUL)]
Price = Annotated[
    Decimal,
    BeforeValidator(_price),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": f"^{_PRICE}$"},
                {"type": "number", "minimum": 0, "maximum": float(MAX_PRICE)},
            ],
            "description": "A text is exact; a number is rounded to cents.",
            "examples": ["19.90"],
        }
    ),
]


def _without_defaults(schema: dict[str, Any]) -> None:
    """A field that a patch leaves out is left as it is: no default may suggest otherwise."""
    for field in schema["properties"].values():
        field.pop("default", None)


class ProductFields(BaseModel):
    """What a product is besides its key; a field that is left out is null."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Name
    description: Description | None = None
    product_type: Label | None = None
    product_group: Label | None = None
    color: Label | None = None
    department: Label | None = None
    index_name: Label | None = None
    image_url: Address | None = None
    price: Price | None = None


class NewProduct(ProductFields):
    """A product to create."""

    article_id: ArticleId


class ProductPatch(ProductFields):
    """A JSON merge patch (RFC 7396) of a product: a field left out stays as it is, null empties one."""

    model_config = ConfigDict(json_schema_extra=_without_defaults)

    name: Name = ""

    def changes(self) -> dict[str, Any]:
        """The values to set, by column: what the patch names, nothing else."""
        return {column: getattr(self, column) for column in self.model_fields_set}


class ProductBody(BaseModel):
    """A product as it is stored. What others wrote to the table may lie outside the limits of what the API takes."""

    model_config = ConfigDict(frozen=True)

    id: int = Field(description="Postgres's own number of the row.")
    article_id: str
    name: str
    description: str | None
    product_type: str | None
    product_group: str | None
    color: str | None
    department: str | None
    index_name: str | None
    image_url: str | None
    price: str | None = Field(description="Exact, as a text.", examples=["19.90"])
    created_at: str | None = Field(description="UTC, with microseconds.", json_schema_extra={"format": "date-time"})
    updated_at: str | None = Field(
        description="UTC, with microseconds; each write moves it forward.", json_schema_extra={"format": "date-time"}
    )

    @classmethod
    def of(cls, product: Product) -> Self:
        """The row as the API gives it."""
        texts = {column: getattr(product, column) for column in _PLAIN}
        return cls(
            **texts,
            price=price_text(product.price),
            created_at=time_text(product.created_at),
            updated_at=time_text(product.updated_at),
        )


class UnreadableRow(BaseModel):
    """A row that exists and that cannot be shown."""

    model_config = ConfigDict(frozen=True)

    article_id: str
    reason: str = Field(examples=["price is NaN"])


class ProductPage(BaseModel):
    """A page of the catalogue, in bytewise order of the keys."""

    model_config = ConfigDict(frozen=True)

    items: list[ProductBody]
    unreadable: list[UnreadableRow] = Field(description="Rows of this page that cannot be shown, and why.")
    next: str | None = Field(description="The `after` of the next page; null: this is the last one.")


_PLAIN = [name for name in ProductBody.model_fields if name not in ("price", "created_at", "updated_at")]
