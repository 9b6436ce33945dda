"""The mixed workload: a catalogue, then changes of which most are of a price, as Debezium would publish them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from itertools import chain, count
from random import Random

from ops.bench.filled_table import catalogue_rows
from ops.bench.history import DebeziumLog
from ops.bench.synthetic import KeyAndValue
from schemas.product import Product

ENDLESS = 2**31
TEXTS, INSERTS, DELETES = 0.08, 0.01, 0.01
"""Shares of the changes; the others are of a price."""


@dataclass(slots=True)
class Mix:
    """The catalogue of a seed and what happens to it; `rows` is, by key, what is left by the records so far."""

    seed: int
    rows: dict[str, Product] = field(init=False, default_factory=dict)
    _random: Random = field(init=False)
    _catalogue: Iterator[Product] = field(init=False)
    _log: DebeziumLog = field(init=False, default_factory=DebeziumLog)
    _keys: list[str] = field(init=False, default_factory=list)
    _gone: list[Product] = field(init=False, default_factory=list)
    _numbers: Iterator[int] = field(init=False, default_factory=lambda: count(1))

    def __post_init__(self) -> None:
        self._random = Random(self.seed)
        self._catalogue = catalogue_rows(ENDLESS, self.seed)

    def snapshot(self, rows: int) -> Iterator[KeyAndValue]:
        """The catalogue's first rows."""
        for _ in range(rows):
            yield self._log.record("r", self._add(next(self._catalogue)))

    def changes(self, number: int) -> Iterator[KeyAndValue]:
        """So many changes in a random order; a delete is two records. There must be a row for each ten of them.

        Every second insert brings back a key that was deleted before, if there is one.
        """
        others = {"text": round(number * TEXTS), "insert": round(number * INSERTS), "delete": round(number * DELETES)}
        kinds = list(chain.from_iterable([kind] * times for kind, times in others.items()))
        kinds += ["price"] * (number - len(kinds))
        self._random.shuffle(kinds)
        for kind in kinds:
            match kind:
                case "insert":
                    back = self._gone and next(self._numbers) % 2
                    yield self._log.record("c", self._add(self._gone.pop() if back else next(self._catalogue)))
                case "delete":
                    yield from self._log.delete(self._remove())
                case _:
                    yield self._log.record("u", self._change(kind))

    def _add(self, row: Product) -> Product:
        self.rows[row.article_id] = row
        self._keys.append(row.article_id)
        return row

    def _remove(self) -> Product:
        place = self._random.randrange(len(self._keys))
        self._keys[place], self._keys[-1] = self._keys[-1], self._keys[place]
        row = self.rows.pop(self._keys.pop())
        self._gone.append(row)
        return row

    def _change(self, kind: str) -> Product:
        row = self.rows[self._random.choice(self._keys)]
        if kind == "text":
            changed = replace(row, name=f"{row.name.partition(' No. ')[0]} No. {next(self._numbers)}")
        else:
            changed = replace(row, price=Decimal(self._random.randrange(100, 1_000_000)) / 100)
        self.rows[row.article_id] = changed
        return changed


def with_repeat(records: Sequence[KeyAndValue], start: int, end: int) -> list[KeyAndValue]:
    """The records, and those from `start` to `end` a second time after the first: Debezium after a crash."""
    return [*records[:end], *records[start:]]
