"""The events that the worker publishes for other teams: CloudEvents 1.0 in Kafka's binary mode, each with a JSON body.

Attributes travel in headers named `ce_…`, the body is one of the models below, and the record's key is the article_id
as plain UTF-8 text: not the JSON object that is the key of Debezium's records.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, ClassVar, Literal, Self, cast

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from typing_extensions import TypedDict  # pydantic asks for this one before Python 3.12

from schemas.errors import DecodeError
from schemas.product import COLUMNS
from schemas.record import Place, Record

SOURCE = "/lockstep/products"
TYPE_PREFIX = "lockstep."
"""A type is its topic's name behind this."""

Timestamp = Annotated[str, Field(json_schema_extra={"format": "date-time"}, examples=["2026-11-20T10:00:00.000000Z"])]
"""ISO 8601 in UTC with microseconds."""

DecimalText = Annotated[str, Field(pattern=r"^-?[0-9]+(\.[0-9]+)?$", examples=["19.90"])]
"""An exact decimal, its scale kept. There is no currency: the catalogue has none."""


class ProductRow(TypedDict, total=False):
    """A row of the catalogue by column. Every column is there, unless the event says that it was cut."""

    id: int
    article_id: str
    name: str
    description: str | None
    product_type: str | None
    product_group: str | None
    color: str | None
    department: str | None
    index_name: str | None
    image_url: str | None
    price: DecimalText | None
    created_at: Timestamp | None
    updated_at: Timestamp | None


def row_from_bytes(data: bytes) -> ProductRow:
    """Read what `Product.to_bytes` wrote: it holds every value just as an event shows it."""
    return cast(ProductRow, dict(zip(COLUMNS, orjson.loads(data), strict=True)))


class _Model(BaseModel):
    # A reader of today takes the events of tomorrow: fields are only ever added.
    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)


class _OfChange(_Model):
    topic: ClassVar[str]

    article_id: str
    version: int = Field(ge=0, lt=1 << 50, description="Greater is newer, among the events of one article_id.")
    source: str = Field(
        description="The record of the row change, topic[partition]@offset.",
        examples=["pgserver.public.products[3]@1041"],
    )
    lsn: int | None = Field(description="Postgres's position of the change; null where the record has none.")
    committed_at: Timestamp | None = Field(
        description="The database's clock at the commit; of a snapshot, when the row was read. Null where unknown."
    )


class ProductChanged(_OfChange):
    """A row was created, updated or deleted: every change once, in the order in which it was committed."""

    topic: ClassVar[str] = "products.changed.v1"

    operation: Literal["create", "update", "delete"] = Field(
        description="create: no row was known before; delete: no row is left; update: there are both."
    )
    from_snapshot: bool = Field(description="The row was read as it stood, so several changes may have become one.")
    changed_fields: tuple[str, ...] = Field(
        description="The columns that differ, in the table's order; all of a row that was created or deleted."
    )
    before: ProductRow | None = Field(description="The row as last published; null when none was known.")
    after: ProductRow | None = Field(description="The row now; null after a delete.")
    cut: bool = Field(
        default=False,
        description="Whole rows did not fit into a record: `before` and `after` hold the changed fields only, or "
        "nothing but {} when these do not fit either. Read the row where you need it.",
    )


class PriceChanged(_OfChange):
    """A product that was there, and still is, has another price."""

    topic: ClassVar[str] = "products.price-changed.v1"

    old_price: DecimalText | None
    new_price: DecimalText | None
    from_snapshot: bool = Field(description="The row was read as it stood, so several changes may have become one.")


class ProductRemoved(_OfChange):
    """A row is gone, and searches do not find it any more."""

    topic: ClassVar[str] = "products.removed.v1"

    row: ProductRow | None = Field(description="The row as last known; null when it never was.")
    cut: bool = Field(default=False, description="The row did not fit into a record: `row` is {}.")


class ProductIndexed(_OfChange):
    """A row that changed is found by searches as it is now; one event may stand for several changes of the row."""

    topic: ClassVar[str] = "products.indexed.v1"

    recipe: str = Field(description="The recipe of its vectors.")
    searchable_at: Timestamp = Field(
        description="The worker's clock once Qdrant had confirmed it; in a repeat of the event, another time."
    )


EventData = ProductChanged | PriceChanged | ProductRemoved | ProductIndexed
EVENT_MODELS: tuple[type[EventData], ...] = (ProductChanged, PriceChanged, ProductRemoved, ProductIndexed)
"""Every event there is, one topic each."""

_BY_TYPE = {TYPE_PREFIX + model.topic: model for model in EVENT_MODELS}


class EventHeaders(_Model):
    """The record's headers, each value UTF-8 text."""

    ce_specversion: Literal["1.0"] = "1.0"
    ce_id: str = Field(description="Names the event for ever: a repeat has the same one.")
    ce_type: str = Field(examples=[TYPE_PREFIX + ProductChanged.topic])
    ce_source: str = SOURCE
    ce_subject: str = Field(description="The article_id.")
    ce_time: Timestamp | None = Field(
        default=None, description="When the change was committed; the header is absent where that is unknown."
    )
    content_type: Literal["application/json"] = Field(default="application/json", alias="content-type")


def event_id(model: type[EventData], place: Place | str, epoch: int) -> str:
    """`<topic>/<epoch>/<place of the source record>`: the same however often the record is applied.

    The epoch tells apart the places of a source topic that was made anew.
    """
    return f"{model.topic}/{epoch}/{place}"


@dataclass(frozen=True, kw_only=True)
class FanoutEvent:
    """One event, and the partition that it goes to.

    `fields` are those of its model, all of them, by name: what the worker's own rules give is not validated again.
    """

    id: str
    partition: int
    model: type[EventData]
    fields: Mapping[str, Any]

    @classmethod
    def of(cls, data: EventData, *, id: str, partition: int) -> Self:
        """The event that carries this."""
        return cls(id=id, partition=partition, model=type(data), fields=vars(data))

    @cached_property
    def data(self) -> EventData:
        """What it carries."""
        return self.model.model_validate(self.fields)

    @property
    def topic(self) -> str:
        """Where it is published."""
        return self.model.topic

    @property
    def type(self) -> str:
        """CloudEvents' type."""
        return TYPE_PREFIX + self.model.topic

    @property
    def key(self) -> bytes:
        """The record's key."""
        article_id: str = self.fields["article_id"]
        return article_id.encode()

    def headers(self) -> list[tuple[str, bytes]]:
        """`EventHeaders` as the record holds them."""
        headers = [
            ("ce_specversion", b"1.0"),
            ("ce_id", self.id.encode()),
            ("ce_type", self.type.encode()),
            ("ce_source", SOURCE.encode()),
            ("ce_subject", self.key),
            ("content-type", b"application/json"),
        ]
        if (committed_at := self.fields["committed_at"]) is not None:
            headers.append(("ce_time", committed_at.encode()))
        return headers

    @cached_property
    def body(self) -> bytes:
        """The record's value."""
        return orjson.dumps(self.fields)  # no field holds another model

    @classmethod
    def from_record(cls, record: Record) -> Self:
        """Read a record of one of the topics.

        Raises:
            DecodeError: It is no event that we know; the message names its place.
        """
        try:
            names: dict[str, Any] = {name: value.decode() for name, value in record.headers}
            headers = EventHeaders.model_validate(names)
            if (model := _BY_TYPE.get(headers.ce_type)) is None:
                raise DecodeError(f"{record.place} is no event: its type {headers.ce_type!r} is unknown")
            data = model.model_validate(orjson.loads(record.value or b""))
        except (ValidationError, ValueError) as error:
            raise DecodeError(f"{record.place} is no event: {error}") from error
        return cls.of(data, id=headers.ce_id, partition=record.place.partition)
