"""The recorded Debezium output under tests/data, as the records that a worker would receive."""

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from schemas.change import Change
from schemas.debezium import decode_change
from schemas.errors import DecodeError
from schemas.product import Product, price_text
from schemas.record import Place, Record

DATA = Path(__file__).parents[1] / "data"
SOURCE_TOPIC = "pgserver.public.products"


MAIN_SCENARIO_ENDS_BEFORE = "truncate"
FORMS = ("flat", "envelope")

GHOSTS_UNDER_DEFAULT_IDENTITY = {
    # Deleted: the key of the delete is empty.
    "0110065004": "to be deleted",
    "0110065021": "big insert",
    "0200000001": "t1",
    # Given another article_id: nothing is sent for the old one.
    "0110065003": "to be re-keyed",
    "0110065005": "pk change",
    "0110065020": "big insert",
    "TMP": "txn row",
}

FINAL_PRICES: dict[str, dict[str, str | None]] = {
    "lsn_concurrent_transactions": {"A0": "102.00", "A1": "101.00", "A2": "202.00"},
    "lsn_initial_snapshot_inflight": {"A0": "50.00", "A1": "51.00", "A2": "1000.00"},
    "lsn_incremental_snapshot_inflight": {"A0": "5.00", "A1": "1.00", "A2": "777.00"},
    "lsn_blocking_snapshot_inflight": {"A0": "0.00", "A1": "1.00", "A2": "777.00"},
    "restart_first_delivery": {"A1": "30.00", "A2": "31.00"},
    "restart_redelivery": {"A1": "30.00", "A2": "31.00"},
    "offsets_lost_slot_kept": {"A1": "61.00", "A2": "62.00"},
    "slot_lost_when_needed": {"A1": "72.00", "A2": "2.00"},
    "incremental_window_dedupe": {"A0-renamed": "0.00", "A1": "91.00"},
    "failover_async": {"A0": "0.00", "A1": "500.00", "A2": "2499.00"},
    "failover_sync": {"A0": "0.00", "A1": "601.00", "A2": "739.00"},
    # Refused as base64, all but the rows without a price; NaN has become null.
    "decimal_precise": {"P4": None, "P9": None},
    "decimal_precise_numeric": {
        "A0": "0.0", "A1": "1.0", "A2": "2.0", "P2x": "19.99", "P3": "99999999.99", "P4": None, "P9": None,
    },
    "decimal_double": {
        "A0": "0.0", "A1": "1.0", "A2": "2.0", "P2x": "19.99", "P3": "99999999.99", "P4": None, "P9": "12.5",
    },
}  # fmt: skip
FINAL_PRICES |= {
    case: {"A0": "0.00", "A1": "1.00", "A2": "2.00", "P2x": "19.99", "P3": "99999999.99", "P4": None, "P9": "12.50"}
    for case in ("decimal_string", "time_adaptive", "time_connect", "time_isostring", "time_microseconds")
}


@dataclass(frozen=True)
class Line:
    case: str
    form: str
    identity: str
    topic: str
    record: Record

    @property
    def stream(self) -> tuple[str, str, str]:
        return self.case, self.form, self.identity


def _json_bytes(value: Any) -> bytes | None:
    return None if value is None else json.dumps(value).encode()


@cache
def lines() -> tuple[Line, ...]:
    found = []
    offsets: dict[tuple[str, str, str], int] = {}
    for text in (DATA / "events.jsonl").read_text().splitlines():
        line = json.loads(text)
        stream = (line["topic"], line["form"], line["replica_identity"])
        offsets[stream] = offset = offsets.get(stream, -1) + 1
        record = Record(
            place=Place(topic=line["topic"], partition=0, offset=offset),
            key=_json_bytes(line["key"]),
            value=_json_bytes(line["value"]),
            headers=tuple((name, str(value).encode()) for name, value in line["headers"].items()),
        )
        found.append(Line(line["case"], line["form"], line["replica_identity"], line["topic"], record))
    return tuple(found)


def product_lines() -> Iterator[Line]:
    return (line for line in lines() if line.topic == SOURCE_TOPIC)


def outcome(line: Line) -> Change | DecodeError:
    try:
        return decode_change(line.record, epoch=0)
    except DecodeError as error:
        return error


def connect_records() -> list[Record]:
    """What the final connector wrote to a broker, with the headers and bytes as they were."""
    return [
        Record(
            place=Place(topic=record["topic"], partition=record["partition"], offset=record["offset"]),
            key=record["key"].encode(),
            value=None if record["value"] is None else record["value"].encode(),
            headers=tuple((name, value.encode()) for name, value in record["headers"]),
        )
        for record in map(json.loads, (DATA / "connect_records.jsonl").read_text().splitlines())
        if record["topic"] == SOURCE_TOPIC
    ]


def expected_outcomes() -> dict[tuple[str, str, str], list[str]]:
    """For each case, form and replica identity what the records of the table come to: `2 c`, `1 DecodeError: …`."""
    table = {}
    with (DATA / "expected_decoding.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            for form in row["forms"].split("+"):
                for identity in row["identities"].split("+"):
                    outcomes = row["outcomes"].split("; ") if row["outcomes"] else []
                    table[row["case"], form, identity] = sorted(outcomes)
    return table


def expected_rows() -> dict[str, dict[str, Any]]:
    """The table when the main scenario ended, without the times, which differ between the recordings."""
    rows: dict[str, dict[str, Any]] = json.loads((DATA / "expected_rows.json").read_text())
    return rows


def main_scenario(form: str, identity: str) -> list[Line]:
    stream = [line for line in product_lines() if (line.form, line.identity) == (form, identity)]
    end = next((i for i, line in enumerate(stream) if line.case == MAIN_SCENARIO_ENDS_BEFORE), None)
    if end is None:  # the flat form has no truncate
        end = next(i for i, line in enumerate(stream) if line.case == "insert_after_truncate")
    return stream[:end]


def without_times(row: Product) -> dict[str, object]:
    cells = {name: getattr(row, name) for name in Product.__slots__ if name not in ("created_at", "updated_at")}
    return cells | {"price": price_text(row.price)}
