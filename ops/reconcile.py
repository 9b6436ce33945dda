"""Compares Postgres with Qdrant, row by row, in constant memory.

Qdrant scrolls by point id, so the two cannot be merged by key. Instead: a keyset page of rows, then those ids in
Qdrant (missing, stale); a page of points, then those keys in Postgres (orphaned).
"""

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from connectors.postgres import Postgres, UnreadableRowError
from connectors.qdrant import QdrantStore
from schemas.collection import LiveCollection
from schemas.document import PROVENANCE
from schemas.product import Product, row_hash

PAGE = 1000
EXAMPLES = 20
LOOKS = 5
"""How often a row that changes between looks is looked at again, before it is taken to agree."""


@dataclass(slots=True, kw_only=True)
class Difference:
    """One kind of difference: how many, and the first keys."""

    count: int = 0
    examples: list[str] = field(default_factory=list)

    def add(self, keys: Sequence[str]) -> None:
        """Count keys; the first twenty are kept."""
        self.count += len(keys)
        self.examples += keys[: EXAMPLES - len(self.examples)]


@dataclass(slots=True, kw_only=True)
class ReconcileReport:
    """What the comparison found. `unreadable` rows are in Postgres and cannot be indexed; they are no difference."""

    collection: str
    rows: int = 0
    points: int = 0
    missing: Difference = field(default_factory=Difference)
    orphaned: Difference = field(default_factory=Difference)
    stale: Difference = field(default_factory=Difference)
    unreadable: Difference = field(default_factory=Difference)
    second_looks: int = 0
    seconds: float = 0.0

    @property
    def in_sync(self) -> bool:
        """Whether nothing differs."""
        return self.missing.count == self.orphaned.count == self.stale.count == 0


async def reconcile(rows: Postgres, store: QdrantStore, *, settle: Callable[[], Awaitable[None]]) -> ReconcileReport:
    """Compare every row with its point and every point with its row.

    A difference counts when it is still there after `settle`, which waits until the pipeline has applied what was
    committed before, and the row has not changed meanwhile: a change on its way is not drift.

    Raises:
        SourceError: Postgres cannot be read.
        VectorStoreError: Qdrant cannot be read.
    """
    started = time.monotonic()
    live = await store.live_collection()
    report = ReconcileReport(collection=live.name)
    await _compare_rows(rows, store, live, report, settle)
    await _compare_points(rows, store, live, report, settle)
    report.seconds = round(time.monotonic() - started, 2)
    return report


async def _compare_rows(
    rows: Postgres,
    store: QdrantStore,
    live: LiveCollection,
    report: ReconcileReport,
    settle: Callable[[], Awaitable[None]],
) -> None:
    unreadable: list[UnreadableRowError] = []
    async for page in rows.pages(limit=PAGE, unreadable=unreadable):
        report.rows += len(page)
        missing, stale = await _differing(page, store, live)
        if missing or stale:
            missing, stale = await _look_again(
                {row.article_id: row for row in page if row.article_id in {*missing, *stale}},
                rows,
                store,
                live,
                report,
                settle,
                unreadable,
            )
            report.missing.add(missing)
            report.stale.add(stale)
    report.unreadable.add(sorted({error.article_id for error in unreadable}))
    report.rows += report.unreadable.count


async def _look_again(
    suspects: dict[str, Product],
    rows: Postgres,
    store: QdrantStore,
    live: LiveCollection,
    report: ReconcileReport,
    settle: Callable[[], Awaitable[None]],
    unreadable: list[UnreadableRowError],
) -> tuple[list[str], list[str]]:
    """Those that still differ once the pipeline has caught up; a row that goes on changing is looked at again."""
    missing: list[str] = []
    stale: list[str] = []
    for _ in range(LOOKS):
        report.second_looks += 1
        await settle()
        now = await rows.fetch_rows(list(suspects), unreadable)
        still_missing, still_stale = await _differing(list(now.values()), store, live)
        # What differs in a row that stood still between two looks is drift.
        missing += [key for key in still_missing if now[key] == suspects[key]]
        stale += [key for key in still_stale if now[key] == suspects[key]]
        suspects = {key: now[key] for key in (*still_missing, *still_stale) if now[key] != suspects[key]}
        if not suspects:
            break
    return missing, stale


async def _differing(page: list[Product], store: QdrantStore, live: LiveCollection) -> tuple[list[str], list[str]]:
    """The keys of the page whose point is missing, and those whose point is stale."""
    payloads = await store.payloads(live.name, [row.article_id for row in page])
    missing = [row.article_id for row in page if row.article_id not in payloads]
    stale = [
        row.article_id
        for row in page
        if row.article_id in payloads and not _agrees(row, payloads[row.article_id], live)
    ]
    return missing, stale


def _agrees(row: Product, payload: dict[str, Any], live: LiveCollection) -> bool:
    provenance = payload.get(PROVENANCE) or {}
    recipe = live.recipe
    # A double may read back one unit in the last place off: `price_text` is compared, and the hash of the whole row.
    stored = {name: value for name, value in payload.items() if name not in (PROVENANCE, "price")}
    wanted = {name: value for name, value in row.payload().items() if name != "price"}
    return (
        stored == wanted
        and provenance.get("row_hash") == row_hash(row.to_bytes())
        and provenance.get("embedding_fingerprint") == recipe.fingerprint(recipe.render(row))
    )


async def _compare_points(
    rows: Postgres,
    store: QdrantStore,
    live: LiveCollection,
    report: ReconcileReport,
    settle: Callable[[], Awaitable[None]],
) -> None:
    async for keys in store.scroll_keys(live.name, page=PAGE):
        report.points += len(keys)
        # A point without an article_id belongs to no row.
        report.orphaned.add(["(a point without article_id)"] * keys.count(None))
        named = [key for key in keys if key is not None]
        if suspects := sorted(set(named) - await rows.existing_keys(named)):
            report.second_looks += 1
            await settle()
            still_there = await store.stored_points(live.name, suspects)
            report.orphaned.add(sorted(still_there.keys() - await rows.existing_keys(suspects)))
