"""A catalogue's history as Debezium would have published it: a snapshot of every row, then changes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from random import Random

import orjson

from ops.bench.synthetic import KeyAndValue
from schemas.product import Product, price_text, time_text

FIRST_LSN = 470_000_000
FIRST_SOURCE_TIME_MS = 1_795_000_000_000

_RECORDS = {"price": 1, "text": 1, "reinsert": 3, "gone": 3}
"""How many records a change is: a delete is one of its own and a tombstone."""
_WEIGHTS = {"price": 80, "text": 14, "reinsert": 4, "gone": 2}


def history(rows: Sequence[Product], records: int, seed: int) -> Iterator[KeyAndValue]:
    """So many records, at least one a row; whoever reads them all is left with exactly these rows.

    Four in five changes are of a price, the others of a text, deletes with a later insert of the same key, and
    rows that came and went.

    Raises:
        ValueError: There are more rows than records.
    """
    if len(rows) > records:
        raise ValueError(f"{records} records cannot hold {len(rows)} rows")
    random = Random(seed)
    changes = _changes(len(rows), records - len(rows), random)
    last = {number: place for place, (number, kind) in enumerate(changes) if kind != "gone"}
    log = DebeziumLog()
    for number, row in enumerate(rows):
        yield log.record("r", _another_price(row, random) if number in last else row)
    for place, (number, kind) in enumerate(changes):
        row = rows[number]
        if kind == "gone":
            passing = replace(row, id=row.id + len(rows), article_id=f"{row.article_id}-{place}")
            yield log.record("c", passing)
            yield from log.delete(passing)
            continue
        if last[number] != place:
            row = _another_price(row, random)
            row = replace(row, name=f"{row.name} {place}") if kind == "text" else row
        if kind == "reinsert":
            yield from log.delete(row)
        yield log.record("c" if kind == "reinsert" else "u", row)


def _changes(rows: int, records: int, random: Random) -> list[tuple[int, str]]:
    """Row and kind of each change, as many as fill that number of records."""
    changes = []
    kinds, weights = list(_WEIGHTS), list(_WEIGHTS.values())
    while records:
        [kind] = random.choices(kinds, weights)
        if _RECORDS[kind] > records:
            kind = "price"
        changes.append((random.randrange(rows), kind))
        records -= _RECORDS[kind]
    return changes


def _another_price(row: Product, random: Random) -> Product:
    return replace(row, price=Decimal(random.randrange(100, 20_000)) / 100)


@dataclass(slots=True)
class DebeziumLog:
    """Gives each record its LSN and its time, later than those before."""

    _written: int = field(init=False, default=0)

    def record(self, operation: str, row: Product) -> KeyAndValue:
        """A change in Debezium's flat form: r, c, u, or d with the row as it was."""
        self._written += 1
        lsn = FIRST_LSN + 8 * self._written
        *_, price, created_at, updated_at = (getattr(row, name) for name in Product.__slots__)
        value = {name: getattr(row, name) for name in Product.__slots__} | {
            "price": price_text(price),
            "created_at": time_text(created_at),
            "updated_at": time_text(updated_at),
            "__deleted": "true" if operation == "d" else "false",
            "__op": operation,
            "__lsn": lsn,
            "__source_ts_ms": FIRST_SOURCE_TIME_MS + self._written,
            "__source_snapshot": "true" if operation == "r" else None,
            "__source_sequence": f'["{lsn}","{lsn}"]',
            "__source_txId": None if operation == "r" else self._written,
        }
        return _key(row), orjson.dumps(value)

    def delete(self, row: Product) -> Iterator[KeyAndValue]:
        """The two records of a delete: its own, and the tombstone."""
        yield self.record("d", row)
        yield _key(row), None


def _key(row: Product) -> bytes:
    return orjson.dumps({"article_id": row.article_id})
