"""How the records of a topic look, one after the other: in 80 columns for people, and as JSON for programs."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from rich.table import Table
from rich.text import Text

from ops.dead_letters import key_text
from ops.terminal import harmless
from schemas.errors import DecodeError
from schemas.fanout_event import (
    EVENT_MODELS,
    FanoutEvent,
    PriceChanged,
    ProductChanged,
    ProductIndexed,
    ProductRemoved,
    ProductRow,
)
from schemas.product import time_text_of_ms
from schemas.record import Place, Record

EVENT_TOPICS = frozenset(model.topic for model in EVENT_MODELS)

_SHOWN_CHARACTERS = 60
"""Of a value that changed; `--json` has it whole."""
_ALWAYS_CHANGED = "updated_at"
_NAME = re.compile(r"products\.(.+)\.v\d+")


def line(record: Record) -> Table:
    """Time, kind, key and what happened; the last of them may take several lines."""
    row = Table.grid(padding=(0, 2))
    row.add_column(width=14, style="dim")
    row.add_column(width=13)
    row.add_column(min_width=10, max_width=20, overflow="fold", style="bold")
    row.add_column(overflow="fold")
    try:
        event = _event(record)
        cells = _of_record(record) if event is None else _of_event(event, record)
    except DecodeError as error:
        cells = (*_of_record(record)[:-1], Text(harmless(str(error)), style="red"))
    row.add_row(*cells)
    return row


def as_dict(record: Record) -> dict[str, Any]:
    """The record as a program wants it: an event's id, type and data; of any other record its size."""
    stands = {
        "place": str(record.place),
        "written_at": time_text_of_ms(record.timestamp_ms),
        "key": key_text(record),
    }
    try:
        event = _event(record)
    except DecodeError as error:
        return stands | {"error": str(error)}
    if event is None:
        return stands | {"value_bytes": None if record.value is None else len(record.value)}
    return stands | {"id": event.id, "type": event.type, "data": event.data.model_dump(mode="json")}


def _event(record: Record) -> FanoutEvent | None:
    """The event that a record is; None on a topic that holds none. Raises `DecodeError`."""
    return FanoutEvent.from_record(record) if record.place.topic in EVENT_TOPICS else None


def _of_record(record: Record) -> tuple[Text, ...]:
    size = "no value" if record.value is None else f"{len(record.value):,} bytes"
    place = Text(f"[{record.place.partition}]@{record.place.offset}")
    return (_time(_written_at(record)), place, _key(record), Text(size))


def _of_event(event: FanoutEvent, record: Record) -> tuple[Text, ...]:
    committed = event.data.committed_at
    moment = _moment(committed, record.place) if committed else _written_at(record)
    kind = _NAME.sub(r"\1", event.topic)
    return (_time(moment), Text(kind), _key(record), Text(harmless(", ".join(_what(event, record.place)))))


def _what(event: FanoutEvent, place: Place) -> Iterator[str]:
    """What the event says, in parts. Raises `DecodeError`."""
    match event.data:
        case ProductChanged() as change:
            yield from _changes(change)
        case PriceChanged() as price:
            yield _change("price", price.old_price, price.new_price)
        case ProductRemoved(row=row):
            yield f"was {_name(row)}"
        case ProductIndexed() as indexed:
            yield f"searchable{_after(indexed, place)}"


def _changes(change: ProductChanged) -> Iterator[str]:
    if change.operation != "update" or change.before is None or change.after is None:
        yield f"{change.operation}d: {_name(change.after or change.before)}"
    else:
        fields = [name for name in change.changed_fields if name != _ALWAYS_CHANGED] or change.changed_fields
        for name in fields:
            yield _change(name, change.before.get(name), change.after.get(name))
    if change.from_snapshot:
        yield "from a snapshot"
    if change.cut:
        yield "rows cut"


def _change(name: str, before: object, after: object) -> str:
    return f"{name} {_value(before)} → {_value(after)}"


def _value(value: object) -> str:
    text = "null" if value is None else str(value)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[: _SHOWN_CHARACTERS - 1]}…"


def _name(row: ProductRow | None) -> str:
    if not row or "name" not in row:
        return "a row that is not shown"
    price = row.get("price")
    return _value(row["name"]) + (f", {price}" if price is not None else "")


def _after(indexed: ProductIndexed, place: Place) -> str:
    if indexed.committed_at is None:
        return ""
    took = _moment(indexed.searchable_at, place) - _moment(indexed.committed_at, place)
    return f" {took.total_seconds():.1f} s after the commit"


def _moment(text: str, place: Place) -> datetime:
    """A time of an event, UTC where it names no zone. Raises `DecodeError`: the events' models take any text."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise DecodeError(f"{place} is no event: {_value(text)!r} is no time") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _written_at(record: Record) -> datetime | None:
    """When the record was written; None for a time that no calendar holds."""
    text = time_text_of_ms(record.timestamp_ms)
    return datetime.fromisoformat(text) if text else None


def _time(moment: datetime | None) -> Text:
    return Text(f"{moment:%m-%d %H:%M:%S}" if moment else "(no time)")


def _key(record: Record) -> Text:
    return Text(harmless(key_text(record) or "") or "(no key)")
