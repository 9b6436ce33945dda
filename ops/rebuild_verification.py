"""Compares a collection that is to go live with Postgres, row by row, and its answers with the live one's."""

from dataclasses import dataclass

from ops.backfill.engine import Backfill
from ops.backfill.parts import BackfillParts
from ops.catch_up import until_captured
from ops.reconcile import ReconcileReport, reconcile
from ops.search import search
from schemas.errors import ReplayError
from schemas.search import SearchQuery

SEARCHES = 20
HITS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What the comparison found. `live` is the same for the live collection, looked at only where something differs."""

    target: ReconcileReport
    live: ReconcileReport | None
    overlap: float | None
    """Share of hits that both collections give, over a few searches by names of products; None without a live one."""

    def check(self) -> None:
        """Refuse a collection that agrees worse with Postgres than the live one.

        Both miss the rows whose records are dead letters. Without a live collection anything is better than nothing.

        Raises:
            ReplayError: There are more differences of a kind.
        """
        if self.live is None:
            return
        for kind in ("missing", "orphaned", "stale"):
            difference = getattr(self.target, kind)
            if difference.count > getattr(self.live, kind).count:
                raise ReplayError(
                    f"the alias stays: in {self.target.collection} {difference.count} points are {kind}, "
                    f"among them {difference.examples[0]}",
                    hint="see the dead letters, and History is gone in docs/operations.md; then lockstep rebuild",
                )


async def verify(parts: BackfillParts, backfill: Backfill, live: str | None) -> Verification:
    """Compare every row and every point; what differs is looked at again once the backfill has caught up.

    Raises:
        SourceError: Postgres cannot be read, or Debezium does not confirm the WAL.
        VectorStoreError: Qdrant cannot be read.
    """

    async def settle() -> None:
        await until_captured(parts.rows)
        await backfill.follow()

    candidate = parts.store.pinned(backfill.target)
    found = await reconcile(parts.rows, candidate, settle=settle)
    of_live = None
    if live and not found.in_sync:
        of_live = await reconcile(parts.rows, parts.store, settle=settle)
    return Verification(target=found, live=of_live, overlap=await _overlap(parts, backfill) if live else None)


async def _overlap(parts: BackfillParts, backfill: Backfill) -> float | None:
    """Searches for names of rows, drawn at random, in both collections, each by its own recipe."""
    rows = await parts.rows.fetch_rows(backfill.latest.sample(SEARCHES), [])
    shares = []
    candidate = parts.store.pinned(backfill.target)
    for name in (row.name for row in rows.values() if row.name.strip()):
        query = SearchQuery(text=name[:1000], limit=HITS)
        ours = {hit.article_id for hit in await search(candidate, parts.embedders, query)}
        theirs = {hit.article_id for hit in await search(parts.store, parts.embedders, query)}
        if ours or theirs:
            shares.append(len(ours & theirs) / max(len(ours), len(theirs)))
    return round(sum(shares) / len(shares), 3) if shares else None
