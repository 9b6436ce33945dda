"""Folds the records of a batch into one step per key; reads what it needs, writes nothing."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

from schemas.action import Action, SkipReason
from schemas.change import Change
from schemas.debezium import decode_change, decode_key
from schemas.errors import DecodeError, ErrorKind, SourceError
from schemas.indexed_row import IndexedRow
from schemas.product import Product
from schemas.recipe import Recipe
from schemas.record import Place, Record
from streams.planner import fill_unavailable, outdated, plan, remember
from streams.ports import RowSource


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """A record of a key in the order of the topic; `change` is None once the record is set aside."""

    record: Record
    change: Change | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A record to set aside, and why."""

    record: Record
    error: Exception


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What one batch does to one key.

    `action` is decided by the last change that applies; it is None when no change of the key applies and only `after`
    differs from `before` (a record was set aside), or nothing at all.
    """

    key: str
    partition: int
    before: IndexedRow | None
    after: IndexedRow | None
    change: Change | None
    action: Action | None
    skipped: tuple[SkipReason, ...]
    refused: tuple[Refusal, ...]
    collapsed: int

    @property
    def place(self) -> Place | None:
        """Where the change that decides stands."""
        return self.change.place if self.change else None


def decode_batch(
    records: Iterable[Record], *, epoch: int, set_aside: Collection[Place]
) -> tuple[dict[str, list[Received]], list[Refusal]]:
    """Decode records and group them by key, order kept; what cannot be decoded comes back as refusals.

    Raises:
        SchemaMismatch: The rows of the topic lack a column, so every record is concerned.
    """
    by_key: dict[str, list[Received]] = {}
    refusals: list[Refusal] = []
    for record in records:
        try:
            if record.place in set_aside:
                raise DecodeError(f"cannot decode change: the operator set {record.place} aside unread")
            change = decode_change(record, epoch=epoch)
        except DecodeError as error:
            if error.kind is not ErrorKind.PERMANENT:
                raise
            refusals.append(Refusal(record=record, error=error))
            if key := _key_or_none(record):
                by_key.setdefault(key, []).append(Received(record=record, change=None))
        else:
            by_key.setdefault(change.key, []).append(Received(record=record, change=change))
    return by_key, refusals


async def fold(
    key: str, received: list[Received], before: IndexedRow | None, recipe: Recipe, *, rows: RowSource, now_ms: int
) -> Step:
    """Run a key's records over its entry and plan for the last that applies.

    Unchanged TOAST columns are filled from the entry, or from Postgres when the entry does not know them; a record
    that Postgres can never complete is refused.

    Raises:
        SourceError: Postgres cannot be read now.
    """
    running = before
    last: Change | None = None
    skipped: list[SkipReason] = []
    refused: list[Refusal] = []
    applied = 0
    for item in received:
        change = item.change
        if change is None:
            running = _with_gap(running)
            continue
        if reason := outdated(change, running):
            skipped.append(reason)
            continue
        if change.unavailable:
            try:
                known = await _known_row(key, running, rows)
            except SourceError as error:
                if error.kind is not ErrorKind.PERMANENT:
                    raise
                refused.append(Refusal(record=item.record, error=error))
                running = _with_gap(running)
                continue
            if known is None:
                skipped.append(SkipReason.ROW_IS_GONE)
                continue
            change = fill_unavailable(change, known)
        running = remember(change, running, recipe, now_ms=now_ms)
        last = change
        applied += 1
    return Step(
        key=key,
        partition=received[0].record.place.partition,
        before=before,
        after=running,
        change=last,
        action=plan(last, before, running, collapsed=applied > 1) if last and running else None,
        skipped=tuple(skipped),
        refused=tuple(refused),
        collapsed=max(applied - 1, 0),
    )


async def _known_row(key: str, indexed: IndexedRow | None, rows: RowSource) -> Product | None:
    if indexed and indexed.row and not indexed.incomplete:
        return Product.from_bytes(indexed.row)
    return await rows.fetch_row(key)


def _with_gap(indexed: IndexedRow | None) -> IndexedRow | None:
    """The entry once a record after it was set aside: its columns no longer say what an unchanged column holds."""
    return replace(indexed, incomplete=True) if indexed else None


def _key_or_none(record: Record) -> str | None:
    try:
        return decode_key(record)
    except DecodeError:
        return None
