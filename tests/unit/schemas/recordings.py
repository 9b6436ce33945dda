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
from schemas.record import Place, Record

DATA = Path(__file__).parents[2] / "data"
SOURCE_TOPIC = "pgserver.public.products"


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
