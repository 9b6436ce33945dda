"""Compares a collection that is to go live with Postgres, row by row, and its answers with the live one's."""

from dataclasses import dataclass

from ops.backfill.engine import Backfill
from ops.backfill.parts import BackfillParts
from ops.catch_up import Pipeline, until_captured
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

        Both lack the rows whose records are dead letters, be it their points or the last state of these: what one is
        missing may be stale in the other. Without a live collection anything is better than nothing.

        Raises:
            ReplayError: More rows differ, or more points have no row.
        """
        if self.live is None:
            return
        for kinds in (("missing", "stale"), ("orphaned",)):
            found = {kind: getattr(self.target, kind) for kind in kinds}
            if sum(of.count for of in found.values()) > sum(getattr(self.live, kind).count for kind in kinds):
                counts = ", ".join(f"{of.count} points are {kind}" for kind, of in found.items() if of.count)
                example = next(of.examples[0] for of in found.values() if of.count)
                raise ReplayError(
                    f"the alias stays: in {self.target.collection} {counts}, among them {example}",
                    hint="see the dead letters, and History is gone in docs/operations.md; then lockstep rebuild",
                )


async def verify(parts: BackfillParts, backfill: Backfill, live: str | None) -> Verification:
    """Compare every row and every point; what differs is looked at again once the backfill has caught up.

    Raises:
        SourceError: Postgres cannot be read, or Debezium does not confirm the WAL.
        BrokerError: The new collection differs, and the workers that the live one waits for make no progress.
        VectorStoreError: Qdrant cannot be read.
    """

    async def settle() -> None:
        await until_captured(parts.rows)
        await backfill.follow()

    candidate = parts.store.pinned(backfill.target)
    found = await reconcile(parts.rows, candidate, settle=settle)
    of_live = None
    if live and not found.in_sync:
        # Fair to both: what a worker has yet to apply is not held against the live one.
        pipeline = Pipeline(parts.rows, parts.admin, backfill.progress.say)
        of_live = await reconcile(parts.rows, parts.store, settle=pipeline.settle)
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
