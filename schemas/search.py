"""A search and what it finds."""

from collections.abc import Mapping
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from schemas.document import KEYWORD_FILTERS, PROVENANCE
from schemas.product import Product, price_text
from schemas.ranking import DEPTH, Ranks


class SearchMode(StrEnum):
    """Which halves take part."""

    HYBRID = "hybrid"
    """Dense and BM25, fused by reciprocal rank."""
    SEMANTIC = "semantic"
    """Dense vectors only: by meaning."""
    KEYWORD = "keyword"
    """BM25 only: by words."""


class FacetField(StrEnum):
    """A column whose values can be counted: those that searches filter by, `KEYWORD_FILTERS`."""

    COLOR = "color"
    DEPARTMENT = "department"
    PRODUCT_TYPE = "product_type"
    PRODUCT_GROUP = "product_group"
    INDEX_NAME = "index_name"


# Of at most 15 digits: two such numbers compare as floats, as Qdrant compares them, just as they do exactly.
Price = Annotated[Decimal, Field(ge=0, max_digits=15)]


class Filters(BaseModel):
    """Conditions that every hit meets; None asks for nothing. Prices are inclusive; a null column meets none."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    color: str | None = None
    department: str | None = None
    product_type: str | None = None
    product_group: str | None = None
    index_name: str | None = None
    price_min: Price | None = None
    price_max: Price | None = None

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.price_min is not None and self.price_max is not None and self.price_min > self.price_max:
            raise ValueError("price_min is above price_max")
        return self

    @property
    def values(self) -> dict[str, str]:
        """The conditions on texts: column and value."""
        return {name: value for name in KEYWORD_FILTERS if (value := getattr(self, name)) is not None}

    def match(self, row: Product) -> bool:
        """Whether a row meets them: what Qdrant says of the point with this row's payload."""
        if any(getattr(row, name) != value for name, value in self.values.items()):
            return False
        if self.price_min is None and self.price_max is None:
            return True
        return (
            row.price is not None
            and (self.price_min is None or row.price >= self.price_min)
            and (self.price_max is None or row.price <= self.price_max)
        )


class SearchQuery(BaseModel):
    """`text` must hold something to look for; `offset` skips the best hits. A search reaches 200 hits deep."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    text: str = Field(min_length=1, max_length=10_000, pattern=r"\S")
    mode: SearchMode = SearchMode.HYBRID
    filters: Filters = Filters()
    limit: int = Field(default=10, ge=1, le=100)
    offset: int = Field(default=0, ge=0, le=DEPTH - 1)

    @model_validator(mode="after")
    def _within_depth(self) -> Self:
        if self.offset + self.limit > DEPTH:
            raise ValueError(f"offset and limit reach beyond the first {DEPTH} hits")
        return self


class Hit(BaseModel):
    """One product found. `score` orders the hits of one answer; scores of different modes do not compare."""

    model_config = ConfigDict(frozen=True)

    article_id: str
    score: float
    ranks: Ranks = Field(description="Which half found it, and where.")
    name: str
    description: str | None
    product_type: str | None
    product_group: str | None
    color: str | None
    department: str | None
    index_name: str | None
    image_url: str | None
    price: str | None = Field(description="Exact, as a text.")
    version: int = Field(description="Of the point in the index: which change of the product it holds.")
    indexed_at: str | None = Field(description="When the point was written, ISO 8601 in UTC.")

    @classmethod
    def of_payload(cls, payload: Mapping[str, Any], score: float, ranks: Ranks) -> Self:
        """The product as a point's payload has it, which may be behind Postgres."""
        provenance = payload.get(PROVENANCE) or {}
        return cls(
            article_id=payload["article_id"],
            score=score,
            ranks=ranks,
            **{name: payload.get(name) for name in _SHOWN},
            price=payload.get("price_text"),
            version=provenance.get("version") or 0,
            indexed_at=provenance.get("indexed_at"),
        )

    def showing(self, row: Product) -> Self:
        """The same hit with the row's values in the place of the point's."""
        values = {name: getattr(row, name) for name in _SHOWN}
        return self.model_copy(update={**values, "price": price_text(row.price)})


_SHOWN = ("name", "description", *KEYWORD_FILTERS, "image_url")


class FacetCount(BaseModel):
    """How many products have a value."""

    model_config = ConfigDict(frozen=True)

    value: str
    count: int


class SearchAnswer(BaseModel):
    """A page of hits, best first, and the counts that were asked for."""

    model_config = ConfigDict(frozen=True)

    hits: list[Hit]
    complete: bool = Field(
        default=True,
        description="False when a fresh search gave up looking for more before the page was full: so many of the best "
        "candidates no longer are what the index has.",
    )
    facets: dict[FacetField, list[FacetCount]] = Field(
        default={},
        description="For each column asked for, its most frequent values among all products that meet the filters, "
        "whatever the text, as the index has them.",
    )
