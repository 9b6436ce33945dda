"""What a record may hold and what is refused: shapes, prices, times, keys, sizes, and bytes of any kind."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.change import Change, Operation
from schemas.debezium import MAX_ROW_BYTES, UNAVAILABLE, decode_change, decode_key, encode_key
from schemas.errors import DecodeError, ErrorKind, SchemaMismatch
from schemas.product import COLUMNS, Product
from schemas.record import Place, Record

PLACE = Place(topic="pgserver.public.products", partition=2, offset=1041)
KEY = b'{"article_id":"0108775015"}'
TIME = "2026-11-21T03:33:17.275078Z"
ROW: dict[str, Any] = {
    "id": 1,
    "article_id": "0108775015",
    "name": "Strap top",
    "description": "Jersey top",
    "product_type": "Vest top",
    "product_group": "Garment Upper body",
    "color": "Black",
    "department": "Jersey Basic",
    "index_name": "Ladieswear",
    "image_url": "https://img.example/0108775015.jpg",
    "price": "19.99",
    "created_at": TIME,
    "updated_at": TIME,
}
META = {"__deleted": "false", "__op": "u", "__lsn": 37534256, "__source_ts_ms": 1795231874133}


def record(value: Any, key: bytes | None = KEY, headers: tuple[tuple[str, bytes], ...] = ()) -> Record:
    data = value if value is None or isinstance(value, bytes) else json.dumps(value).encode()
    return Record(place=PLACE, key=key, value=data, headers=headers)


def flat(**cells: Any) -> dict[str, Any]:
    return ROW | META | cells


def decode(value: Any, **rest: Any) -> Change:
    return decode_change(record(value, **rest), epoch=0)


def refusal(value: Any, **rest: Any) -> DecodeError:
    with pytest.raises(DecodeError) as caught:
        decode(value, **rest)
    assert str(caught.value).startswith("cannot decode change: ")
    assert str(caught.value).endswith(f" at {PLACE}")
    return caught.value


def test_flat_update_is_decoded_whole() -> None:
    moment = datetime(2026, 11, 21, 3, 33, 17, 275078, tzinfo=UTC)
    texts = {column: ROW[column] for column in COLUMNS[:10]}
    assert decode_change(record(flat()), epoch=3) == Change(
        operation=Operation.UPDATE,
        key="0108775015",
        version=(3 << 40) + 1041,
        place=PLACE,
        row=Product(**texts, price=Decimal("19.99"), created_at=moment, updated_at=moment),
        lsn=37534256,
        source_time_ms=1795231874133,
    )


def test_envelope_and_connect_schema_give_the_same_change() -> None:
    envelope = {"before": None, "after": ROW, "op": "u", "source": {"lsn": 37534256, "ts_ms": 1795231874133}}
    wrapped_key = json.dumps({"schema": {"type": "struct"}, "payload": {"article_id": "0108775015"}}).encode()
    expected = decode(flat())
    assert decode(envelope) == expected
    assert decode({"schema": {"type": "struct"}, "payload": envelope}, key=wrapped_key) == expected
    assert decode({"schema": {"type": "struct"}, "payload": flat()}, key=wrapped_key) == expected


def test_delete_takes_its_key_from_the_record_whatever_its_row_holds() -> None:
    emptied = dict.fromkeys(COLUMNS) | {"id": 0, "article_id": "0108775015", "name": ""}
    for row in (emptied, {"article_id": ""}, ROW | {"price": "NAN"}, ROW | {"description": UNAVAILABLE}, {}):
        change = decode(row | META | {"__op": "d"})
        assert (change.operation, change.key, change.row, change.before) == (Operation.DELETE, "0108775015", None, None)
    before = decode(flat(__op="d")).before
    assert before is not None
    assert before.name == "Strap top"


@pytest.mark.parametrize("value", [None, b"null", {"schema": None, "payload": None}], ids=["none", "null", "schema"])
def test_tombstone_reads_the_last_header_of_a_name(value: Any) -> None:
    headers = (("__lsn", b"1"), ("__source_ts_ms", b"2"), ("__lsn", b"37534256"))
    change = decode(value, headers=headers)
    assert (change.operation, change.lsn, change.source_time_ms) == (Operation.TOMBSTONE, 37534256, 2)


@pytest.mark.parametrize("text", [b"null", b"", b"-1", b"abc", b"9" * 30])
def test_tombstone_without_a_readable_header_has_no_lsn(text: bytes) -> None:
    assert decode(None).lsn is None
    assert decode(None, headers=(("__lsn", text),)).lsn is None


def test_snapshot_read_may_have_no_lsn() -> None:
    assert decode(flat(__op="r", __lsn=None)).lsn is None


@pytest.mark.parametrize(
    ("cell", "price"),
    [
        ("19.99", "19.99"),
        ("12.50", "12.50"),
        ("-0.5", "-0.5"),
        ("0E-8", "0.00000000"),
        (19.99, "19.99"),
        (12.5, "12.5"),
        (7, "7"),
        (None, None),
    ],
)
def test_price_is_exact(cell: Any, price: str | None) -> None:
    row = decode(flat(price=cell)).row
    assert row is not None
    assert (None if row.price is None else format(row.price, "f")) == price


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        ({"price": "NaN"}, "price is NaN"),
        ({"price": "NAN"}, "price is NaN"),
        ({"price": "Infinity"}, "price is infinite"),
        ({"price": "NEGATIVE_INFINITY"}, "price is infinite"),
        ({"price": "1E400"}, "price is not a decimal"),
        ({"price": "1_000"}, "price is not a decimal"),
        ({"price": ""}, "price is not a decimal"),
        ({"price": True}, "price is not a decimal"),
        ({"price": "B88="}, "price is base64, not a decimal"),
        ({"price": {"scale": 2, "value": "B88="}}, "price is not a decimal"),
        ({"updated_at": "infinity"}, "updated_at is infinite"),
        ({"created_at": "-infinity"}, "created_at is infinite"),
        ({"updated_at": "+12026-01-01T00:00:00Z"}, "updated_at is not an ISO 8601 time"),
        ({"updated_at": "0001-01-01T00:00:00+05:00"}, "updated_at is not an ISO 8601 time"),
        ({"updated_at": "2026-01-01T00:00:00"}, "updated_at has no time zone"),
        ({"updated_at": 1795231874133000}, "updated_at is not an ISO 8601 time"),
        ({"id": "1"}, "id is not an integer"),
        ({"id": True}, "id is not an integer"),
        ({"id": 1 << 63}, "id is not an integer"),
        ({"name": None}, "name is null"),
        ({"color": 7}, "color is not a text"),
        ({"description": ["a"]}, "description is not a text"),
        ({"article_id": "another"}, "row's article_id is not the key's"),
        ({"__op": "x"}, "unknown operation 'x'"),
        ({"__op": "tombstone"}, "unknown operation"),
        ({"__op": None}, "unknown operation"),
        ({"__op": ["u"]}, "unknown operation"),
        ({"__op": "t"}, "the table was truncated"),
        ({"__lsn": "37534256"}, "lsn is not a number"),
        ({"__source_ts_ms": -1}, "source time is not a number"),
    ],
)
def test_wrong_cell_is_refused_for_good(cells: dict[str, Any], reason: str) -> None:
    error = refusal(flat(**cells))
    assert str(error).startswith(f"cannot decode change: {reason}")
    assert error.kind is ErrorKind.PERMANENT


@pytest.mark.parametrize(
    ("key", "reason", "hint"),
    [
        (None, "key is missing", "message.key.columns"),
        (b"", "key is not JSON", None),
        (b"0108775015x", "key is not JSON", None),
        (b"null", "key has no article_id", "message.key.columns"),
        (b'{"id":1}', "key has no article_id", "message.key.columns"),
        (b'{"article_id":5}', "key's article_id is not a text", "message.key.columns"),
        (b'{"article_id":""}', "key's article_id is empty", "ALTER TABLE products REPLICA IDENTITY FULL"),
        (b'{"article_id":"%s"}' % (b"x" * MAX_ROW_BYTES), "bytes is above the limit of 2 MiB", None),
        (b'{"article_id":"\\u0000source/3"}', "key's article_id holds a NUL", None),
    ],
)
@pytest.mark.parametrize("value", [flat(), flat(__op="d"), None], ids=["update", "delete", "tombstone"])
def test_key_that_names_no_row_is_refused(key: bytes | None, reason: str, hint: str | None, value: Any) -> None:
    error = refusal(value, key=key)
    assert reason in str(error)
    assert hint in (error.hint or "") if hint else error.hint is None


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"", "value is not JSON"),
        (b'{"id":1', "value is not JSON"),
        (b'{"price":NaN}', "value is not JSON"),
        (b"\xff\xfe", "value is not JSON"),
        (b'{"name":"\\ud83d"}', "value is not JSON"),
        (b"[" * 100_000, "value is not JSON"),
        (b"[]", "value is not an object"),
        (b"7", "value is not an object"),
        (ROW, "value is neither a flat row nor an envelope"),
        ({"op": "u", "after": None, "source": None}, "row is missing"),
    ],
)
def test_value_of_another_shape_is_refused(value: Any, reason: str) -> None:
    assert reason in str(refusal(value))


def test_precise_price_says_which_setting_to_change() -> None:
    assert refusal(flat(price="B88=")).hint == "set decimal.handling.mode=string on the connector"


@pytest.mark.parametrize("column", COLUMNS)
def test_absent_column_is_a_mismatch_and_null_is_not(column: str) -> None:
    cells = flat()
    del cells[column]
    error = refusal(cells)
    assert isinstance(error, SchemaMismatch)
    assert error.kind is ErrorKind.OUTAGE
    assert f"column {column} is missing" in str(error)


def test_null_in_every_nullable_column_and_empty_texts_are_rows() -> None:
    nulls = decode(flat(**dict.fromkeys(COLUMNS[3:]))).row
    assert nulls == Product(id=1, article_id="0108775015", name="Strap top")
    empty = decode(flat(**dict.fromkeys(COLUMNS[2:10], ""))).row
    assert empty is not None
    assert (empty.name, empty.description) == ("", "")


def test_unavailable_columns_are_named() -> None:
    change = decode(flat(name=UNAVAILABLE, description=UNAVAILABLE, color=f"not {UNAVAILABLE}"))
    assert change.unavailable == {"name", "description"}
    assert change.row is not None
    assert (change.row.name, change.row.description, change.row.color) == ("", None, f"not {UNAVAILABLE}")


def test_unknown_columns_are_ignored() -> None:
    assert decode(flat(season="autumn", op="x")) == decode(flat())


def test_astral_characters_arrive_as_escapes_or_plain() -> None:
    escaped = json.dumps(flat(name="Kleid 👗")).encode()
    assert b"\\ud83d\\udc57" in escaped
    plain = json.dumps(flat(name="Kleid 👗"), ensure_ascii=False).encode()
    assert decode(escaped) == decode(plain)
    assert decode(None, key=b'{"article_id":"a\\uD83D\\uDC57"}').key == "a👗"


def test_large_row_is_read_and_a_larger_one_refused_but_still_deleted() -> None:
    assert decode(flat(description="x" * 1_000_000)).row is not None
    beyond = flat(description="x" * MAX_ROW_BYTES)
    error = refusal(beyond)
    assert f"row of {len(json.dumps(beyond))} bytes is above the limit of 2 MiB" in str(error)
    assert decode(beyond | {"__op": "d"}).removes


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
CELLS = st.dictionaries(st.sampled_from([*COLUMNS, *META, "op", "before", "after", "source", "payload"]), JSON)


def decodes_or_refuses(key: bytes | None, value: bytes | None) -> None:
    try:
        change = decode_change(record(value, key=key), epoch=0)
    except DecodeError:
        return
    # Whatever was accepted can be stored and compared.
    for row in (change.row, change.before):
        assert row is None or Product.from_bytes(row.to_bytes()) == row
        assert row is None or json.dumps(row.payload(), allow_nan=False)


unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


@unhurried
@given(key=st.none() | st.binary(), value=st.none() | st.binary())
def test_any_bytes_give_a_change_or_a_decode_error(key: bytes | None, value: bytes | None) -> None:
    decodes_or_refuses(key, value)
    decodes_or_refuses(KEY, value)


@unhurried
@given(cells=CELLS, operation=st.sampled_from("crud"), lacking=st.sets(st.sampled_from(COLUMNS), max_size=1))
def test_any_json_in_a_row_gives_a_change_or_a_decode_error(
    cells: dict[str, Any], operation: str, lacking: set[str]
) -> None:
    row = {name: cell for name, cell in (ROW | cells).items() if name not in lacking}
    decodes_or_refuses(KEY, json.dumps(META | row | {"__op": operation}).encode())
    decodes_or_refuses(KEY, json.dumps({"op": operation, "after": row, "before": row, "source": cells}).encode())
    decodes_or_refuses(KEY, json.dumps({"schema": None, "payload": cells}).encode())


@pytest.mark.parametrize("epoch", [0, 3])
def test_an_orphans_tombstone_is_void_from_the_version_of_its_header(epoch: int) -> None:
    change = decode_change(record(None, headers=(("lockstep-orphan", b"1000"),)), epoch=epoch)
    assert (change.operation, change.void_from) == (Operation.TOMBSTONE, (epoch << 40) + 1000)
    assert decode_change(record(None), epoch=epoch).void_from is None


@pytest.mark.parametrize("text", [b"", b"-1", b"null", b"1e3", b"9" * 20])
def test_an_orphans_tombstone_without_a_readable_condition_is_refused(text: bytes) -> None:
    assert "lockstep-orphan is not an offset" in str(refusal(None, headers=(("lockstep-orphan", text),)))


@pytest.mark.parametrize(
    ("article_id", "encoded"),
    [
        ("0108775015", b'"0108775015"'),
        ("o'\"/\\ {x}", b'"o\'\\"/\\\\ {x}"'),
        ("\x01\x1f\n\t\x7f", b'"\\u0001\\u001F\\n\\t\x7f"'),
        ("\\u00ff", b'"\\\\u00ff"'),
        ("é\u2028👗", '"é\u2028\\uD83D\\uDC57"'.encode()),
    ],
    ids=["digits", "quotes", "controls", "looks like an escape", "beyond ASCII"],
)
def test_a_key_is_written_as_connect_writes_it(article_id: str, encoded: bytes) -> None:
    key = encode_key(article_id)
    assert key == b'{"article_id":' + encoded + b"}"
    assert decode_key(record(None, key=key)) == article_id
