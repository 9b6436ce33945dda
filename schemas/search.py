"""A search and what it finds."""

from decimal import Decimal
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field


class SearchMode(StrEnum):
    """Which halves take part."""

    HYBRID = "hybrid"
    """Dense and BM25, fused by reciprocal rank."""
    SEMANTIC = "semantic"
    """Dense vectors only: by meaning."""
    KEYWORD = "keyword"
    """BM25 only: by words."""


class Filters(BaseModel):
    """Conditions that every hit meets; None asks for nothing. Prices are inclusive."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    color: str | None = None
    department: str | None = None
    product_type: str | None = None
    product_group: str | None = None
    index_name: str | None = None
    price_min: Decimal | None = None
    price_max: Decimal | None = None


class SearchQuery(BaseModel):
    """`text` must hold something to look for; `offset` skips the best hits."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    text: str = Field(min_length=1, max_length=10_000, pattern=r"\S")
    mode: SearchMode = SearchMode.HYBRID
    filters: Filters = Filters()
    limit: int = Field(default=10, ge=1, le=100)
    offset: int = Field(default=0, ge=0, le=10_000)


class Hit(BaseModel):
    """One product found. `score` orders the hits of one answer; scores of different modes do not compare."""

    model_config = ConfigDict(frozen=True)

    article_id: str
    score: float
    name: str
    description: str | None
    product_type: str | None
    color: str | None
    department: str | None
    price: str | None
    version: int
    indexed_at: str | None
