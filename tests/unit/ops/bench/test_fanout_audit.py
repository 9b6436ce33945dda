"""The audit of a soak's events names each broken promise to subscribers, and nothing when all is well."""

from collections.abc import Callable
from typing import Any

import pytest

from ops.bench.fanout_audit import judge_events, overtaken
from schemas.fanout_event import (
    EventData,
    FanoutEvent,
    PriceChanged,
    ProductChanged,
    ProductIndexed,
    ProductRemoved,
    ProductRow,
)

OLD: ProductRow = {"article_id": "a", "price": "1.00"}
NEW: ProductRow = {"article_id": "a", "price": "2.00"}


def _event(data: EventData) -> FanoutEvent:
    return FanoutEvent.of(data, id=f"{data.topic}/0/{data.source}", partition=0)


def _common(version: int, key: str = "a") -> dict[str, Any]:
    return {"article_id": key, "version": version, "source": f"t[0]@{version}", "lsn": None, "committed_at": None}


def _changed(version: int, before: ProductRow | None, after: ProductRow | None, key: str = "a") -> FanoutEvent:
    operation = "create" if before is None else "delete" if after is None else "update"
    return _event(
        ProductChanged(
            **_common(version, key),
            operation=operation,
            from_snapshot=False,
            changed_fields=("price",),
            before=before,
            after=after,
        )
    )


def _indexed(version: int) -> FanoutEvent:
    return _event(ProductIndexed(**_common(version), recipe="r", searchable_at="2026-11-20T10:00:00.000000Z"))


def _repriced(version: int) -> FanoutEvent:
    return _event(PriceChanged(**_common(version), old_price="1.00", new_price="2.00", from_snapshot=False))


def _removed(version: int, key: str) -> FanoutEvent:
    return _event(ProductRemoved(**_common(version, key), row=None))


SOUND = [
    _changed(1, None, OLD),
    _changed(2, OLD, NEW),
    _changed(1, None, OLD),  # a repeat after a crash
    _changed(2, OLD, NEW),
    _changed(3, None, OLD, "gone"),
    _changed(4, OLD, None, "gone"),
    _indexed(2),
    _repriced(2),
    _removed(4, "gone"),
]
ROWS = {"a": NEW}

Damage = Callable[[list[FanoutEvent]], list[FanoutEvent]]


def _found(events: list[FanoutEvent], rows: dict[str, ProductRow] = ROWS) -> list[str]:
    return [one.what for one in judge_events(events, rows)]


def test_repeats_and_deletes_are_no_findings() -> None:
    assert _found(SOUND) == []


@pytest.mark.parametrize(
    ("damage", "finding"),
    [
        (lambda e: [e[1], e[0], *e[4:]], "events out of order"),
        (lambda e: [e[1], *e[4:]], "events that begin at a row nobody published"),
        (lambda e: [*e[4:6], e[8]], "rows that the last event does not show"),
        (lambda e: [*e[:5], *e[6:8]], "keys without a row whose last event shows one"),
        (lambda e: e[:8], "deletes that were not published as removed"),
        (lambda e: [*e, _removed(9, "a")], "removed events without a delete"),
        (lambda e: [*e[:7], e[8]], "price changes that were not published"),
        (lambda e: [*e, _repriced(1)], "price-changed events without a change"),
        (lambda e: [*e[:6], _indexed(1), *e[7:]], "rows not published as searchable"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_subscribers_would_miss_is_named(damage: Damage, finding: str) -> None:
    assert finding in _found(damage(list(SOUND)))


def test_a_record_that_compaction_took_before_its_redelivery_is_no_gap() -> None:
    assert (
        _found(
            [
                _changed(1, None, OLD),
                _changed(2, OLD, NEW),
                _changed(4, OLD, NEW),
                _repriced(2),
                _repriced(4),
                _indexed(4),
            ]
        )
        == []
    )


def test_a_repeat_that_came_after_its_successor_is_counted() -> None:
    assert overtaken(SOUND) == 0
    assert overtaken([_changed(1, None, OLD), _changed(2, OLD, NEW), _changed(1, None, OLD)]) == 1
