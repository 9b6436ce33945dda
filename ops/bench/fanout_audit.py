"""Judges what a soak published for other teams: pure, from the events as a subscriber reads them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import TypeVar

from ops.bench.findings import Finding, finding
from schemas.fanout_event import (
    EventData,
    FanoutEvent,
    PriceChanged,
    ProductChanged,
    ProductIndexed,
    ProductRemoved,
    ProductRow,
)

Data = TypeVar("Data", bound=EventData)


def judge_events(events: Sequence[FanoutEvent], rows: Mapping[str, ProductRow]) -> list[Finding]:
    """Follow each key through its events, repeats dropped by id, up to its row in Postgres.

    `events` are those of all topics, each topic's in the order of its partitions; `rows` is Postgres by article_id.
    """
    first: dict[str, FanoutEvent] = {}
    for event in events:
        first.setdefault(event.id, event)
    by_key: dict[str, list[ProductChanged]] = {}
    for event in first.values():
        if isinstance(event.data, ProductChanged):
            by_key.setdefault(event.data.article_id, []).append(event.data)
    last = {key: changes[-1] for key, changes in by_key.items()}
    searchable: dict[str, int] = {}
    for data in _of(ProductIndexed, first.values()):
        searchable[data.article_id] = max(data.version, searchable.get(data.article_id, 0))
    removed = {data.source for data in _of(ProductRemoved, first.values())}
    repriced = {data.source for data in _of(PriceChanged, first.values())}
    changes = [change for of_key in by_key.values() for change in of_key]
    found = [
        finding("events out of order", (c.source for of_key in by_key.values() for c in _out_of_order(of_key))),
        finding("events that begin at a row nobody published", _unconnected(by_key)),
        finding(
            "rows that the last event does not show", (k for k in rows if k not in last or last[k].after != rows[k])
        ),
        finding("keys without a row whose last event shows one", (k for k in last if last[k].after and k not in rows)),
        finding("deletes that were not published as removed", {c.source for c in changes if c.after is None} - removed),
        finding("removed events without a delete", removed - {c.source for c in changes if c.after is None}),
        finding("price changes that were not published", {c.source for c in changes if _other_price(c)} - repriced),
        finding("price-changed events without a change", repriced - {c.source for c in changes if _other_price(c)}),
        finding(
            "rows not published as searchable",
            (key for key, change in last.items() if change.after and searchable.get(key, 0) < change.version),
        ),
    ]
    return [one for one in found if one.count]


def overtaken(events: Sequence[FanoutEvent]) -> int:
    """How many articles have another event than their newest as their last record, the one that compaction keeps."""
    last: dict[str, int] = {}
    newest: dict[str, int] = {}
    for data in _of(ProductChanged, events):
        last[data.article_id] = data.version
        newest[data.article_id] = max(data.version, newest.get(data.article_id, 0))
    return sum(newest[key] != version for key, version in last.items())


def _of(model: type[Data], events: Iterable[FanoutEvent]) -> Iterator[Data]:
    return (event.data for event in events if isinstance(event.data, model))


def _out_of_order(changes: Sequence[ProductChanged]) -> Iterator[ProductChanged]:
    return (later for earlier, later in pairwise(changes) if later.version <= earlier.version)


def _unconnected(by_key: Mapping[str, Sequence[ProductChanged]]) -> Iterator[str]:
    """The places of changes whose row before is none that an earlier event of the key left.

    Not only the last one's: compaction may take a record between a crash and its redelivery.
    """
    for changes in by_key.values():
        left: list[ProductRow | None] = [None]
        for change in changes:
            if change.before not in left:
                yield change.source
            left.append(change.after)


def _other_price(change: ProductChanged) -> bool:
    return change.operation == "update" and "price" in change.changed_fields
