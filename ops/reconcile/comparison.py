"""Compares Postgres with Qdrant, row by row, in constant memory.

Qdrant scrolls by point id, so the two cannot be merged by key. Instead: a keyset page of rows, then those ids in
Qdrant (missing, stale); a page of points, then those keys in Postgres (orphaned). What differs is collected, and all
of it is looked at again once the pipeline has caught up: on a busy table a few waits do for the whole run.
"""

import asyncio
import math
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from connectors.postgres import Postgres, UnreadableRowError
from connectors.qdrant import QdrantStore
from connectors.qdrant_audit import QdrantAudit, SeenPoint, version_of
from ops.reconcile.findings import Findings
from ops.reconcile.paging import ahead, pages_of
from ops.reconcile.report import ReconcileReport
from schemas.collection import LiveCollection
from schemas.document import PROVENANCE
from schemas.errors import ReplayError
from schemas.product import Product, row_hash

PAGE = 500
BREATH = 200
"""Rows that are compared before others of the event loop have a turn: searches, in the API."""
LOOKS = 5
"""How often a row that changes between looks is looked at again, before it is taken to agree."""
MOST_SUSPECTS = 50_000
"""With more of them the second look comes before the end: about 20 MB."""

Settle = Callable[[], Awaitable[None]]
"""Waits until the pipeline has applied everything that was committed before the call."""

PageAndPayloads = tuple[Sequence[Product], dict[str, dict[str, Any]]]


async def reconcile(rows: Postgres, store: QdrantStore, *, settle: Settle) -> ReconcileReport:
    """Compare every row with its point and every point with its row: what `Comparison.run` reports."""
    comparison = await Comparison.of(rows, store, settle=settle)
    await comparison.run()
    return comparison.report


@dataclass(slots=True, kw_only=True)
class Comparison:
    """One comparison; `report` counts while it runs, `findings` has the keys for a repair.

    `share` looks at about that share of the rows and of the points, drawn at random.
    `sample_size` many keys of points are drawn into `sampled`, whose vectors may then be compared.
    """

    rows: Postgres
    store: QdrantStore
    audit: QdrantAudit
    live: LiveCollection
    settle: Settle
    report: ReconcileReport
    share: float | None = None
    sample_size: int = 0
    chance: random.Random = field(default_factory=random.Random)
    findings: Findings = field(default_factory=Findings)
    sampled: list[str] = field(default_factory=list)
    _suspect_rows: dict[str, str] = field(default_factory=dict)
    """By key, the hash of the row as it was seen."""
    _suspect_points: list[SeenPoint] = field(default_factory=list)
    _unreadable: list[UnreadableRowError] = field(default_factory=list)

    @classmethod
    async def of(
        cls, rows: Postgres, store: QdrantStore, *, settle: Settle, share: float | None = None, sample_size: int = 0
    ) -> "Comparison":
        """Of the live collection as it is now. Raises `VectorStoreError`."""
        live = await store.live_collection()
        return cls(
            rows=rows,
            store=store,
            audit=QdrantAudit.of(store),
            live=live,
            settle=settle,
            report=ReconcileReport(collection=live.name, sample=share),
            share=share,
            sample_size=sample_size,
        )

    async def run(self) -> None:
        """Compare rows with points, then points with rows.

        A difference counts when it is still there after `settle`, and neither row nor point has changed meanwhile: a
        change on its way is not drift.

        Raises:
            ReplayError: The collection is no longer the live one.
            SourceError: Postgres cannot be read.
            VectorStoreError: Qdrant cannot be read.
        """
        started = time.monotonic()
        await self._compare_rows()
        await self._compare_points()
        await self._look_again()
        unreadable = sorted({error.article_id for error in self._unreadable})
        self.report.unreadable.add(unreadable)
        self.report.rows += len(unreadable)
        self.report.seconds = round(time.monotonic() - started, 2)

    async def run_over(self, keys: Sequence[str], points: Sequence[SeenPoint]) -> None:
        """The same for these rows and these points alone. Raises as `run` does."""
        for part in pages_of(keys, PAGE):
            page = list((await self.rows.fetch_rows(part, self._unreadable)).values())
            self._compare_page(page, await self.store.payloads(self.live.name, [row.article_id for row in page]))
        for seen in pages_of(points, PAGE):
            self._suspect_points += await self.audit.points_by_id(self.live.name, [point.id for point in seen])
        await self._look_again()

    async def _compare_rows(self) -> None:
        pages = self._pages_of_sample() if self.share else self.rows.pages(limit=PAGE, unreadable=self._unreadable)
        async with aclosing(ahead(self._with_payloads(ahead(pages)))) as pairs:
            async for page, payloads in pairs:
                for part in pages_of(page, BREATH):
                    self._compare_page(part, payloads)
                    await asyncio.sleep(0)
                await self._look_again_if_many()

    def _compare_page(self, page: Sequence[Product], payloads: dict[str, dict[str, Any]]) -> None:
        self.report.rows += len(page)
        for row in page:
            if not self._agrees(row, payloads):
                self._suspect_rows[row.article_id] = _hash(row)

    async def _pages_of_sample(self) -> AsyncIterator[Sequence[Product]]:
        for keys in pages_of(await self.rows.sample_keys(self.share or 1.0), PAGE):
            yield list((await self.rows.fetch_rows(keys, self._unreadable)).values())

    async def _with_payloads(self, pages: AsyncIterator[Sequence[Product]]) -> AsyncIterator[PageAndPayloads]:
        async for page in pages:
            yield page, await self.store.payloads(self.live.name, [row.article_id for row in page])

    async def _compare_points(self) -> None:
        pages = (
            self.audit.sample(self.live.name, self.share, page=PAGE, chance=self.chance)
            if self.share
            else self.audit.points(self.live.name, page=PAGE)
        )
        async with aclosing(ahead(pages)) as points:
            async for page in points:
                keys = [point.key for point in page if point.key is not None]
                present = await self.rows.existing_keys(keys)
                self._suspect_points += [point for point in page if point.key not in present]
                self._draw(key for key in keys if key in present)
                self.report.points += len(page)
                await self._look_again_if_many()

    def _draw(self, keys: Iterable[str]) -> None:
        """Keep `sample_size` keys, each of all that pass by as likely as any other."""
        if not self.sample_size:
            return
        for number, key in enumerate(keys, self.report.points + 1):
            if len(self.sampled) < self.sample_size:
                self.sampled.append(key)
            elif (place := self.chance.randrange(number)) < self.sample_size:
                self.sampled[place] = key

    async def _look_again_if_many(self) -> None:
        if len(self._suspect_rows) + len(self._suspect_points) >= MOST_SUSPECTS:
            await self._look_again()

    async def wait(self) -> None:
        """Wait until a second look counts. Raises as `run` does."""
        self.report.second_looks += 1
        await self.settle()
        await check_live(self.store, self.live)

    async def _look_again(self) -> None:
        """Count what still differs once the pipeline has caught up; a row that goes on changing is looked at again."""
        for _ in range(LOOKS):
            if not (self._suspect_rows or self._suspect_points):
                return
            await self.wait()
            await self._look_at_points()
            await self._look_at_rows()
        self._suspect_rows.clear()

    async def _look_at_rows(self) -> None:
        before, self._suspect_rows = self._suspect_rows, {}
        for keys in pages_of(list(before), PAGE):
            page = list((await self.rows.fetch_rows(keys, self._unreadable)).values())
            payloads = await self.store.payloads(self.live.name, [row.article_id for row in page])
            for row in page:
                key = row.article_id
                if self._agrees(row, payloads):
                    continue
                if (now := _hash(row)) != before[key]:
                    self._suspect_rows[key] = now
                elif key in payloads:
                    self.report.stale.add([key])
                    self.findings.add_stale(key, version_of(payloads[key]))
                else:
                    self.report.missing.add([key])
                    self.findings.add_missing(key)

    async def _look_at_points(self) -> None:
        suspects, self._suspect_points = self._suspect_points, []
        for seen in pages_of(suspects, PAGE):
            # One that was written again meanwhile belongs to a row that came, or is on its way out.
            before = {point.id: point for point in seen}
            now = await self.audit.points_by_id(self.live.name, list(before))
            same = [point for point in now if point == before[point.id]]
            present = await self.rows.existing_keys([point.key for point in same if point.key is not None])
            for point in same:
                if point.key not in present:
                    self.report.orphaned.add([name_of(point)])
                    self.findings.add_orphan(point)

    def _agrees(self, row: Product, payloads: dict[str, dict[str, Any]]) -> bool:
        payload = payloads.get(row.article_id)
        return payload is not None and agrees(row, payload, self.live)


async def check_live(store: QdrantStore, compared: LiveCollection) -> None:
    """Refuse to go on with a collection that workers write to no longer: it differs more and more.

    Raises:
        ReplayError: The alias was moved.
        VectorStoreError: Qdrant cannot be asked.
    """
    live = await store.live_collection()
    if live.name != compared.name:
        raise ReplayError(f"{compared.name} was replaced by {live.name} meanwhile", hint="run it again")


def agrees(row: Product, payload: dict[str, Any], live: LiveCollection) -> bool:
    """Whether a point's payload is what the row's must be, provenance included."""
    provenance = payload.get(PROVENANCE)
    if not isinstance(provenance, dict):
        return False
    recipe = live.recipe
    wanted = row.payload()
    return (
        # A double may read back one unit in the last place off; `price_text` is exact.
        _close(payload.get("price"), wanted["price"])
        and payload | {PROVENANCE: None, "price": None} == wanted | {PROVENANCE: None, "price": None}
        and provenance.get("row_hash") == _hash(row)
        and provenance.get("embedding_fingerprint") == recipe.fingerprint(recipe.render(row))
    )


def name_of(point: SeenPoint) -> str:
    """The key that an orphan stands for, or else its id."""
    return point.key if point.key is not None else f"point {point.id}"


def _close(stored: Any, wanted: float | None) -> bool:
    if wanted is None or not isinstance(stored, int | float):
        return stored is wanted
    return math.isclose(stored, wanted, rel_tol=1e-12)


def _hash(row: Product) -> str:
    return row_hash(row.to_bytes())
