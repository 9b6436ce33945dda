"""Turns Debezium's records into changes: the only code that knows its two forms, flat and envelope.

Flat is what `ExtractNewRecordState` leaves (`delete.tombstone.handling.mode=rewrite-with-tombstone`,
`add.fields=op,lsn,source.ts_ms`); an envelope is what Debezium writes without it. Both are told apart by shape, with or
without Connect's `{"schema": …, "payload": …}` around key and value.
"""

import re
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from math import isfinite
from operator import itemgetter
from typing import Any, NoReturn

import orjson

from schemas.change import Change, Operation
from schemas.document import TABLE
from schemas.errors import DecodeError, SchemaMismatch
from schemas.product import COLUMNS, TEXT_COLUMNS, Product
from schemas.record import Record

MAX_ROW_BYTES = 2 * 1024 * 1024
"""A larger create, update or snapshot read is refused: it would not fit through Qdrant's requests."""

UNAVAILABLE = "__debezium_unavailable_value"
"""What stands for an unchanged TOAST column under a replica identity other than FULL."""

LSN_FIELD = "__lsn"
SOURCE_TIME_FIELD = "__source_ts_ms"

ORPHAN_HEADER = "lockstep-orphan"
"""On a tombstone of reconciliation: the partition's high watermark when Postgres had no row of the key."""

_OPERATIONS = {operation.value: operation for operation in Operation if operation is not Operation.TOMBSTONE}
_TRUNCATE = "t"
_ENVELOPE_FIELDS = frozenset(("before", "after", "source"))
_CONNECT_FIELDS = {"schema", "payload"}
_UNAVAILABLE_BYTES = UNAVAILABLE.encode()
_TEXT_TYPES = frozenset((str, type(None)))
_MAX_BIGINT = (1 << 63) - 1
_NOTHING: frozenset[str] = frozenset()

_cells = itemgetter(*COLUMNS)

# Debezium writes BigDecimal.toString(), so a zero of scale 8 comes as "0E-8". The lengths keep a price within what a
# double in the payload can hold.
_DECIMAL = re.compile(r"-?[0-9]{1,200}(?:\.[0-9]+)?(?:E[+-]?[0-9]{1,2})?")
_ESCAPED_BY_CONNECT = re.compile("[\U00010000-\U0010ffff]" r"|\\u[0-9a-f]{4}|\\.")
_BASE64 = re.compile(r"(?=.)(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")
_NOT_FINITE = {
    "nan": "NaN",
    "infinity": "infinite",
    "-infinity": "infinite",
    "positive_infinity": "infinite",
    "negative_infinity": "infinite",
}

_KEY_HINT = f"set message.key.columns=public.{TABLE}:article_id on the connector"
_IDENTITY_HINT = (
    f"ALTER TABLE {TABLE} REPLICA IDENTITY FULL, then find what this record left behind: lockstep reconcile"
)
_FORM_HINT = "set transforms.unwrap.add.fields=op,lsn,source.ts_ms on the connector, or leave the envelope as it is"
_TRUNCATE_HINT = f"set skipped.operations=t on the connector; lockstep reconcile finds the rows that {TABLE} lost"
_COLUMNS_HINT = f"give {TABLE} its columns back, and check column.include.list of the connector"
_DECIMAL_HINT = "set decimal.handling.mode=string on the connector"


def decode_change(record: Record, *, epoch: int) -> Change:
    """Give the row change that a record of the source topic stands for.

    The key is the record's own: the row of a delete is as empty as the table's replica identity leaves it. Columns that
    the catalogue does not know are ignored.

    Raises:
        SchemaMismatch: A row lacks a column of the catalogue, as every row after it will.
        DecodeError: The record says nothing we can apply. The message ends with the record's place.
    """
    try:
        return _decode(record, epoch)
    except DecodeError as error:
        raise type(error)(f"cannot decode change: {error} at {record.place}", hint=error.hint) from error.__cause__


def decode_key(record: Record) -> str:
    """The `article_id` of a record's key; a record whose value means nothing may still have one.

    Raises:
        DecodeError: The key names no row.
    """
    return _key(record.key)


def encode_key(article_id: str) -> bytes:
    """The key that Debezium's records of a row have, byte for byte: partition and compaction go by its bytes.

    Connect's converter writes characters beyond U+FFFF as two escapes, and hexadecimal digits as capitals.
    """
    text = orjson.dumps({"article_id": article_id}).decode()
    return _ESCAPED_BY_CONNECT.sub(_as_connect_escapes, text).encode()


def _as_connect_escapes(found: re.Match[str]) -> str:
    text = found[0]
    if text.startswith("\\u"):
        return f"\\u{text[2:].upper()}"
    if text.startswith("\\"):
        return text
    units = text.encode("utf-16-be")
    return "".join(f"\\u{units[i : i + 2].hex().upper()}" for i in (0, 2))


def _decode(record: Record, epoch: int) -> Change:
    data = record.value
    value = None if data is None else _payload(data, "value")
    if data is None or value is None:
        return Change(
            operation=Operation.TOMBSTONE,
            key=_key(record.key),
            version=record.place.version(epoch),
            place=record.place,
            lsn=_header_number(record, LSN_FIELD),
            source_time_ms=_header_number(record, SOURCE_TIME_FIELD),
            void_from=_void_from(record, epoch),
        )
    if type(value) is not dict:
        _refuse("value is not an object")
    code, before, after, lsn, source_time_ms = _parts(value)
    if code == _TRUNCATE:
        _refuse("the table was truncated, which names no row", hint=_TRUNCATE_HINT)
    key = _key(record.key)
    operation = _OPERATIONS.get(code) if type(code) is str else None
    if operation is None:
        _refuse(f"unknown operation {str(code)[:20]!r}")
    if operation is Operation.DELETE:
        row, unavailable, before_row = None, _NOTHING, _row_taken_away(before, key)
    else:
        # A delete of any size is applied: its key is all that it needs.
        if len(data) > MAX_ROW_BYTES:
            _refuse(f"row of {len(data)} bytes is above the limit of 2 MiB")
        row, unavailable = _row(after, key, may_lack_values=_UNAVAILABLE_BYTES in data)
        before_row = None
    return Change(
        operation=operation,
        key=key,
        version=record.place.version(epoch),
        place=record.place,
        row=row,
        before=before_row,
        unavailable=unavailable,
        lsn=_number(lsn, "lsn"),
        source_time_ms=_number(source_time_ms, "source time"),
    )


def _parts(value: dict[str, Any]) -> tuple[Any, Any, Any, Any, Any]:
    """Operation, row before, row after, lsn and source time, as they stand in either form."""
    if "__op" in value:
        return value["__op"], value, value, value.get(LSN_FIELD), value.get(SOURCE_TIME_FIELD)
    if "op" in value and not _ENVELOPE_FIELDS.isdisjoint(value):
        source = value.get("source")
        if type(source) is not dict:
            source = {}
        return value["op"], value.get("before"), value.get("after"), source.get("lsn"), source.get("ts_ms")
    _refuse("value is neither a flat row nor an envelope", hint=_FORM_HINT)


def _refuse(reason: str, *, hint: str | None = None, kind: type[DecodeError] = DecodeError) -> NoReturn:
    raise kind(reason, hint=hint)


def _payload(data: bytes, part: str) -> Any:
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise DecodeError(f"{part} is not JSON") from error
    if type(value) is dict and value.keys() == _CONNECT_FIELDS:
        return value["payload"]
    return value


def _key(data: bytes | None) -> str:
    if data is None:
        _refuse("key is missing", hint=_KEY_HINT)
    if len(data) > MAX_ROW_BYTES:  # an event of it would fit no record
        _refuse(f"key of {len(data)} bytes is above the limit of 2 MiB")
    key = _payload(data, "key")
    if type(key) is not dict or "article_id" not in key:
        _refuse("key has no article_id", hint=_KEY_HINT)
    article_id = key["article_id"]
    if type(article_id) is not str:
        _refuse("key's article_id is not a text", hint=_KEY_HINT)
    if not article_id:
        _refuse("key's article_id is empty", hint=_IDENTITY_HINT)
    if "\0" in article_id:  # Postgres has no such text, and the table keeps its own marks under such keys
        _refuse("key's article_id holds a NUL")
    return article_id


def _row(cells: Any, key: str, *, may_lack_values: bool) -> tuple[Product, frozenset[str]]:
    """The row, and the columns whose value Debezium did not send."""
    if type(cells) is not dict:
        _refuse("row is missing")
    try:
        id_, article_id, *texts, price, created_at, updated_at = _cells(cells)
    except KeyError as error:
        _refuse(f"column {error.args[0]} is missing", kind=SchemaMismatch, hint=_COLUMNS_HINT)
    unavailable = _NOTHING
    if may_lack_values:
        unavailable = frozenset(column for column in COLUMNS[2:] if cells[column] == UNAVAILABLE)
        filled = {column: "" if column == "name" else None for column in unavailable}
        id_, article_id, *texts, price, created_at, updated_at = _cells(cells | filled)
    if article_id != key:
        _refuse("row's article_id is not the key's")
    if type(id_) is not int or not -_MAX_BIGINT <= id_ <= _MAX_BIGINT:
        _refuse("id is not an integer of 8 bytes")
    if not _TEXT_TYPES.issuperset(map(type, texts)):
        wrong = next(column for column in TEXT_COLUMNS[1:] if type(cells[column]) not in _TEXT_TYPES)
        _refuse(f"{wrong} is not a text")
    name, description, product_type, product_group, color, department, index_name, image_url = texts
    if name is None:
        _refuse("name is null")
    row = Product(
        id=id_,
        article_id=key,
        name=name,
        description=description,
        product_type=product_type,
        product_group=product_group,
        color=color,
        department=department,
        index_name=index_name,
        image_url=image_url,
        price=_price(price),
        created_at=_moment(created_at, "created_at"),
        updated_at=_moment(updated_at, "updated_at"),
    )
    return row, unavailable


def _row_taken_away(cells: Any, key: str) -> Product | None:
    """The row before a delete, or None where it is not whole: nothing in it may keep a delete from being applied.

    Under a replica identity other than FULL the columns outside it come as null, 0 or an empty text.
    """
    if type(cells) is not dict or cells.get("article_id") != key:
        return None
    if not any(cells.get(column) for column in COLUMNS[2:]):
        return None
    with suppress(DecodeError):
        row, unavailable = _row(cells, key, may_lack_values=True)
        return None if unavailable else row
    return None


def _price(cell: Any) -> Decimal | None:
    if cell is None:
        return None
    if type(cell) is str:
        if _DECIMAL.fullmatch(cell):
            return Decimal(cell)
        if reason := _NOT_FINITE.get(cell.lower()):
            _refuse(f"price is {reason}")
        if _BASE64.fullmatch(cell):
            _refuse("price is base64, not a decimal", hint=_DECIMAL_HINT)
        _refuse("price is not a decimal")
    if type(cell) is int or (type(cell) is float and isfinite(cell)):
        return Decimal(repr(cell))
    _refuse("price is not a decimal", hint=_DECIMAL_HINT if type(cell) is dict else None)


def _moment(cell: Any, column: str) -> datetime | None:
    if cell is None:
        return None
    if type(cell) is not str:
        _refuse(f"{column} is not an ISO 8601 time")
    try:
        moment = datetime.fromisoformat(cell)
        if moment.tzinfo is UTC:
            return moment
        if moment.tzinfo is not None:
            return moment.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        if cell.lower() in ("infinity", "-infinity"):
            raise DecodeError(f"{column} is infinite") from error
        raise DecodeError(f"{column} is not an ISO 8601 time within the years 1 to 9999") from error
    _refuse(f"{column} has no time zone")


def _number(field: Any, name: str) -> int | None:
    if field is None:
        return None
    if type(field) is int and 0 <= field <= _MAX_BIGINT:
        return field
    _refuse(f"{name} is not a number")


def _void_from(record: Record, epoch: int) -> int | None:
    if record.header(ORPHAN_HEADER) is None:
        return None
    offset = _header_number(record, ORPHAN_HEADER)
    if offset is None:  # without its condition it might remove a row that is alive
        _refuse(f"header {ORPHAN_HEADER} is not an offset")
    return replace(record.place, offset=offset).version(epoch)


def _header_number(record: Record, name: str) -> int | None:
    """A number that Debezium added as a header; its converter writes "null" where there is none."""
    text = record.header(name)
    return int(text) if text and text.isdigit() and len(text) < 20 else None
