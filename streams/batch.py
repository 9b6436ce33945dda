"""Folds the records of a batch into one step per key; reads what it needs, writes nothing."""

from collections.abc import Collection, Iterable, Sequence
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

COLLAPSE = "collapse"


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
class Skipped:
    """A record that comes too late to be applied, and why."""

    place: Place
    reason: SkipReason


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """A change that applies, its row whole, between the entries before and after it."""

    change: Change
    before: IndexedRow | None
    after: IndexedRow


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
    action: Action | None
    applied: tuple[Applied, ...]
    skipped: tuple[Skipped, ...]
    refused: tuple[Refusal, ...]

    @property
    def change(self) -> Change | None:
        """The change that decides."""
        return self.applied[-1].change if self.applied else None

    @property
    def outcomes(self) -> list[tuple[Place, str]]:
        """What became of each record of the key that was not refused, by its place.

        `collapse`: a later change of the same batch stands for it.
        """
        decided = self.action.name if self.action else ""
        return [
            *((item.place, item.reason.value) for item in self.skipped),
            *((item.change.place, COLLAPSE) for item in self.applied[:-1]),
            *((item.change.place, decided) for item in self.applied[-1:]),
        ]


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


def partition_of(received: Sequence[Received]) -> int:
    """The partition of a key's records: where its changes stand. Poison may name the key from another one."""
    return next((item for item in received if item.change), received[0]).record.place.partition


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
    applied: list[Applied] = []
    skipped: list[Skipped] = []
    refused: list[Refusal] = []
    partition = partition_of(received)
    for item in received:
        change = item.change
        if change is None:
            if item.record.place.partition == partition:
                running = _with_gap(running)
            continue
        if reason := outdated(change, running):
            skipped.append(Skipped(place=change.place, reason=reason))
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
                skipped.append(Skipped(place=change.place, reason=SkipReason.ROW_IS_GONE))
                continue
            change = fill_unavailable(change, known)
        after = remember(change, running, recipe, now_ms=now_ms)
        applied.append(Applied(change=change, before=running, after=after))
        running = after
    last = applied[-1] if applied else None
    return Step(
        key=key,
        partition=partition,
        before=before,
        after=running,
        action=plan(last.change, before, last.after, collapsed=len(applied) > 1) if last else None,
        applied=tuple(applied),
        skipped=tuple(skipped),
        refused=tuple(refused),
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
