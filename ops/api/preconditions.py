"""Entity tags of products, and the conditions on them that a write may carry (RFC 9110, section 13)."""

import re
from datetime import UTC, datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from connectors.postgres_catalogue import Versions
from schemas.product import Product, time_text

ANY = "*"

_NEVER_WRITTEN = "null"
# A weak tag is one character away from a strong one and never matches (section 13.1.1), so it is read as none of ours.
_STRONG = re.compile(r'(?:^|,)\s*"([^"]*)"\s*(?=,|$)')


class IfMatch(BaseModel):
    """The condition of a write to a row that exists."""

    model_config = ConfigDict(frozen=True)

    if_match: str | None = Field(
        default=None,
        alias="If-Match",
        description="Write only if the product's `ETag` is one of these; `*`: if it exists.",
    )


class IfMatchOrNone(IfMatch):
    """The condition of a write that may make its row."""

    if_none_match: Literal["*"] | None = Field(
        default=None, alias="If-None-Match", description="`*`: write only if there is no such product yet."
    )


def etag(product: Product) -> str:
    """The product's strong entity tag: `updated_at`, which each write moves forward."""
    return f'"{time_text(product.updated_at) or _NEVER_WRITTEN}"'


def wanted_versions(if_match: str | None) -> Versions:
    """The versions that `If-Match` names; None when any will do. A tag that we never gave names none."""
    if if_match is None or if_match.strip() == ANY:
        return None
    return [version for tag in _STRONG.findall(if_match) for version in _versions(tag)]


def _versions(tag: str) -> list[datetime | None]:
    if tag == _NEVER_WRITTEN:
        return [None]
    try:
        version = datetime.fromisoformat(tag).astimezone(UTC)
    except (ValueError, OverflowError):
        return []
    return [version] if time_text(version) == tag else []
