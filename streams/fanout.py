"""Decides which events a batch gives: one table of rules over the changes it applied; pure."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any, cast

from schemas.change import Change, Operation
from schemas.fanout_event import (
    EventData,
    FanoutEvent,
    PriceChanged,
    ProductChanged,
    ProductIndexed,
    ProductRemoved,
    ProductRow,
    event_id,
    row_from_bytes,
)
from schemas.product import COLUMNS, time_text, time_text_of_ms
from schemas.record import OFFSET_BITS
from streams.batch import Applied, Step
from streams.topics import MAX_RECORD_BYTES

FRAME_BYTES = 4 * 1024
"""Room for what surrounds key and body in a record: headers, lengths, a batch of one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """A change that was applied, between the rows before and after it.

    `known` says that there was an entry of the key, be it that of a deleted row. `searchable_at` is set on the change
    that a batch leaves in the index for a key whose row it changed: None for all others, and for a row that is gone.
    """

    change: Change
    source: str
    committed_at: str | None
    known: bool
    before: ProductRow | None
    after: ProductRow | None
    recipe: str
    searchable_at: str | None


@dataclass(frozen=True, slots=True)
class Rule:
    """Publish the event when a transition is such; `what` gives the fields that it has beside the common ones."""

    event: type[EventData]
    when: Callable[[Transition], bool]
    what: Callable[[Transition], dict[str, Any]]


def row_differs(t: Transition) -> bool:
    """A row is new, different or gone. The delete of a key that was never heard of counts: others may know its row."""
    return not t.known or t.before != t.after


def price_differs(t: Transition) -> bool:
    """There is a row before and after, with other prices: 19.9 and 19.90 are the same."""
    return t.before is not None and t.after is not None and _price(t.before) != _price(t.after)


def row_is_gone(t: Transition) -> bool:
    """The row was taken away, and not before."""
    return t.after is None and row_differs(t)


def is_searchable(t: Transition) -> bool:
    """The index holds the row as the batch left it."""
    return t.searchable_at is not None


def _change(t: Transition) -> dict[str, Any]:
    return {
        "operation": _operation(t),
        "from_snapshot": _from_snapshot(t),
        "changed_fields": _changed_fields(t),
        "before": t.before,
        "after": t.after,
        "cut": False,
    }


def _prices(t: Transition) -> dict[str, Any]:
    return {
        "old_price": t.before and t.before["price"],
        "new_price": t.after and t.after["price"],
        "from_snapshot": _from_snapshot(t),
    }


RULES: tuple[Rule, ...] = (
    Rule(ProductChanged, when=row_differs, what=_change),
    Rule(PriceChanged, when=price_differs, what=_prices),
    Rule(ProductRemoved, when=row_is_gone, what=lambda t: {"row": t.before, "cut": False}),
    Rule(ProductIndexed, when=is_searchable, what=lambda t: {"recipe": t.recipe, "searchable_at": t.searchable_at}),
)


def route(steps: Iterable[Step], *, searchable_at: datetime, limit_bytes: int = MAX_RECORD_BYTES) -> list[FanoutEvent]:
    """Every event of a batch, in the order of the source: each change of a key, not only its last.

    A change that was skipped or set aside gives none, nor does one that leaves its row as it was. A change gives the
    same events whichever batch it comes in, but for `indexed`, of which there is one per key and batch. An event that
    would not fit into a record is cut, and says so.
    """
    moment = time_text(searchable_at) or ""
    transitions = [transition for step in steps for transition in _transitions(step, moment)]
    transitions.sort(key=lambda t: (t.change.place.partition, t.change.place.offset))
    return [_fit(_event(rule, t), limit_bytes) for t in transitions for rule in RULES if rule.when(t)]


def _transitions(step: Step, searchable_at: str) -> Iterator[Transition]:
    if all(applied.before and applied.before.row == applied.after.row for applied in step.applied):
        return
    for applied in step.applied:
        present = applied is step.applied[-1] and not applied.after.deleted
        yield Transition(
            change=applied.change,
            source=str(applied.change.place),
            committed_at=time_text_of_ms(applied.change.source_time_ms),
            known=applied.before is not None,
            before=_row_before(applied),
            after=row_from_bytes(applied.after.row) if applied.after.row else None,
            recipe=applied.after.recipe,
            searchable_at=searchable_at if present else None,
        )


def _row_before(applied: Applied) -> ProductRow | None:
    if applied.before is not None:
        return row_from_bytes(applied.before.row) if applied.before.row else None
    # A delete of a key that we do not know: the record may.
    return row_from_bytes(applied.change.before.to_bytes()) if applied.change.before else None


def _event(rule: Rule, t: Transition) -> FanoutEvent:
    change = t.change
    return FanoutEvent(
        id=event_id(rule.event, t.source, change.version >> OFFSET_BITS),
        # The source's partition, not one that our key's bytes would choose: so the changes of a key stay in one
        # partition, in order, for as long as the source's do, and no two workers ever write it at a time.
        partition=change.place.partition,
        model=rule.event,
        fields={
            "article_id": change.key,
            "version": change.version,
            "source": t.source,
            "lsn": change.lsn,
            "committed_at": t.committed_at,
            **rule.what(t),
        },
    )


def _fit(event: FanoutEvent, limit_bytes: int) -> FanoutEvent:
    """The event, its rows cut to the changed fields if it is too large for a record, or to none of them."""
    cuts = _cuts(event)
    # The key stands in a header too.
    while len(event.body) + 2 * len(event.key) + FRAME_BYTES > limit_bytes and (smaller := next(cuts, None)):
        event = smaller
    return event


def _cuts(event: FanoutEvent) -> Iterator[FanoutEvent]:
    """The event, smaller each time; nothing for one that holds no row."""
    fields = event.fields
    if event.model is ProductChanged:
        for kept in (fields["changed_fields"], ()):
            rows = {name: _only(fields[name], kept) for name in ("before", "after")}
            yield replace(event, fields={**fields, **rows, "cut": True})
    elif event.model is ProductRemoved:
        yield replace(event, fields={**fields, "row": _only(fields["row"], ()), "cut": True})


def _only(row: ProductRow | None, columns: Iterable[str]) -> ProductRow | None:
    return None if row is None else cast(ProductRow, {column: row.get(column) for column in columns})


def _operation(t: Transition) -> str:
    # By the rows, not by Debezium's word: an update is the first we hear of a row whose insert was set aside.
    if t.after is None:
        return "delete"
    return "create" if t.before is None else "update"


def _changed_fields(t: Transition) -> tuple[str, ...]:
    before, after = t.before, t.after
    if before is None or after is None:
        return COLUMNS
    return tuple(column for column, value in after.items() if before.get(column) != value)


def _from_snapshot(t: Transition) -> bool:
    return t.change.operation is Operation.SNAPSHOT_READ


def _price(row: ProductRow) -> Decimal | None:
    return None if row["price"] is None else Decimal(row["price"])
