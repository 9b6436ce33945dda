"""Decides what a change means for the index; pure."""

from dataclasses import replace

from schemas.action import (
    Action,
    DeletePoint,
    Keep,
    OverwritePayload,
    Skip,
    SkipReason,
    UpsertPoint,
    VerifyPoint,
)
from schemas.change import Change, Operation
from schemas.indexed_row import IndexedRow
from schemas.product import Product
from schemas.recipe import Recipe
from schemas.record import OFFSET_BITS


def outdated(change: Change, indexed: IndexedRow | None) -> SkipReason | None:
    """Why a change comes too late to be applied, or None.

    Promise 2: an older change never overwrites a newer one, nor revives a deleted row.
    """
    if indexed is None:
        return None
    if change.version <= indexed.version:
        return SkipReason.REDELIVERED_BY_BROKER
    if change.void_from is not None and indexed.version >= change.void_from:
        return SkipReason.ROW_CAME_BACK
    if change.operation is Operation.SNAPSHOT_READ or change.lsn is None or indexed.lsn is None:
        return None
    not_after = (change.source_time_ms or 0) <= (indexed.source_time_ms or 0)
    if _same_epoch(change, indexed) and change.lsn < indexed.lsn and not_after:
        return SkipReason.REDELIVERED_BY_DEBEZIUM
    return None


def remember(change: Change, indexed: IndexedRow | None, recipe: Recipe, *, now_ms: int) -> IndexedRow:
    """The entry of a key after a change whose row is whole."""
    dated: Change | IndexedRow | None = change
    # Snapshot reads carry an LSN that later changes may lie below, and a tombstone may come without one.
    if change.operation is Operation.SNAPSHOT_READ or change.lsn is None:
        dated = indexed if indexed and _same_epoch(change, indexed) else None
    entry = IndexedRow(
        version=change.version,
        lsn=dated.lsn if dated else None,
        source_time_ms=dated.source_time_ms if dated else None,
        recipe=recipe.recipe_id,
        embedding_fingerprint="",
        applied_at_ms=now_ms,
    )
    if change.row is None:
        return entry
    return replace(
        entry, embedding_fingerprint=recipe.fingerprint(recipe.render(change.row)), row=change.row.to_bytes()
    )


def plan(change: Change, indexed: IndexedRow | None, after: IndexedRow, *, collapsed: bool = False) -> Action:
    """Choose the one action that brings the index up to date with a change whose row is whole.

    `indexed` is what was remembered before the batch, `after` what `remember` makes of the change. `collapsed` says
    that earlier changes of this key in the batch were left out: a worker that lost its partition may still write one
    of those, so the point must carry a version above theirs even when the row ends as it began.
    """
    if reason := outdated(change, indexed):
        return Skip(reason)
    if change.removes:
        return Keep() if indexed and indexed.deleted and not collapsed else DeletePoint()
    # The fingerprint holds the recipe, so that another recipe counts as another text here. The indexer looks before
    # it embeds, and finds the vector when the collection has it.
    if indexed is None or indexed.deleted or indexed.embedding_fingerprint != after.embedding_fingerprint:
        return UpsertPoint()
    # A create of a row that is alive here means that a delete was missed; a snapshot read may follow lost points.
    if change.operation in (Operation.CREATE, Operation.SNAPSHOT_READ):
        return VerifyPoint()
    if indexed.row != after.row or collapsed:
        return OverwritePayload()
    return Keep()


def _same_epoch(change: Change, indexed: IndexedRow) -> bool:
    """Whether their LSNs can be compared: it goes down after a failover, for which the operator raises the epoch."""
    return change.version >> OFFSET_BITS == indexed.version >> OFFSET_BITS


def fill_unavailable(change: Change, known: Product) -> Change:
    """The change with its unchanged TOAST columns taken from a row that has them."""
    if change.row is None:
        return change
    row = replace(change.row, **{column: getattr(known, column) for column in change.unavailable})
    return replace(change, row=row, unavailable=frozenset())
