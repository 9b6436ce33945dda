"""The demo's story: a catalogue becomes searchable, changes follow, a worker is killed, and both stores agree."""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from decimal import Decimal

from rich.console import Console
from rich.table import Table

from connectors.kafka import KafkaAdmin
from connectors.postgres import Postgres
from ops.catch_up import Pipeline
from ops.demo.catalogue import generate_products
from ops.demo.probes import SearchProbe, WorkerStats
from ops.demo.progress import progress
from ops.demo.raw_embedding import raw_documents_per_second
from ops.demo.report import DemoReport
from ops.demo.stage import Stage
from ops.demo.subscribers.running import Subscribers
from ops.reconcile import reconcile
from ops.settings import Settings
from ops.stores import open_embedders, open_rows, open_store
from schemas.product import Product
from schemas.search import Filters, Hit, SearchQuery
from streams.topics import PRODUCT_CHANGES

FIRST_LOAD = 1000
SECOND_LOAD = 500
ROUNDS = 5
INDEXED_WITHIN_SECONDS = 300.0
SUBSCRIBED_WITHIN_SECONDS = 90.0
LOOK_EVERY_SECONDS = 0.02
WATCH_EVERY_SECONDS = 0.25
"""While many rows are indexed: looking costs the machine that does the work."""

QUERIES = (
    ("black cotton t-shirt", Filters(color="Black")),
    ("warm jacket for the winter", Filters()),
    ("summer dress with flowers", Filters(price_max=Decimal(40))),
)


@dataclass(slots=True, kw_only=True)
class Story:
    """The steps, in order. Each prints what it saw and writes it into the report."""

    stage: Stage
    settings: Settings
    rows: Postgres
    probe: SearchProbe
    stats: WorkerStats
    pipeline: Pipeline
    out: Console
    report: DemoReport

    async def tell(self) -> None:
        """Run every step."""
        await self.snapshot()
        await self.search()
        await self.follow_changes()
        await self.kill_worker()
        await self.subscribe()
        await self.agree()

    async def snapshot(self) -> None:
        """Load the first products, start capture, and wait until the last is searchable."""
        started = time.monotonic()
        await self.rows.copy_products(generate_products(FIRST_LOAD))
        self._done(f"{FIRST_LOAD:,} products in Postgres", time.monotonic() - started)
        await self.stage.start_capture()
        first_record = await self._first_record_seen()
        await self._until_indexed(FIRST_LOAD, "snapshot to indexed")
        seconds = time.monotonic() - first_record
        texts = [self._text(row) async for page in self.rows.pages() for row in page]
        raw = await asyncio.to_thread(raw_documents_per_second, self.settings.embedding, texts)
        self.report.products = FIRST_LOAD
        self.report.snapshot_to_indexed_seconds = round(seconds, 2)
        self.report.documents_per_second = round(FIRST_LOAD / seconds, 1)
        self.report.raw_embedding_documents_per_second = round(raw, 1)
        share = 100 * FIRST_LOAD / seconds / raw
        self._done(f"all searchable: {FIRST_LOAD / seconds:,.0f} a second, {share:.0f} % of embedding alone", seconds)

    async def search(self) -> None:
        """Show what searches find."""
        for text, filters in QUERIES:
            given = ", ".join(f"{k}={v}" for k, v in filters.model_dump(exclude_none=True).items())
            self.out.print(f"\n  [bold]{text}[/bold]" + (f"  [dim]{given}[/dim]" if given else ""))
            hits = await self.probe.search(SearchQuery(text=text, filters=filters, limit=3))
            self._expect(bool(hits), f"a search for {text!r} finds nothing")
            table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
            for hit in hits:
                table.add_row("   ", f"{hit.score:.2f}", hit.article_id, hit.name[:34], hit.color, hit.price or "")
            self.out.print(table)
        self.out.print()

    async def follow_changes(self) -> None:
        """Insert, edit and delete by plain SQL; how long until the search shows each."""
        took: dict[str, list[float]] = {"insert": [], "text update": [], "price update": [], "delete": []}
        for number in range(ROUNDS):
            for name, milliseconds in (await self._one_round(number)).items():
                took[name].append(milliseconds)
        table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0))
        table.add_column("  seen by the search after")
        for heading in ("median", "fastest", "slowest"):
            table.add_column(heading, justify="right")
        for name, times in took.items():
            setattr(self.report, f"{name.replace(' ', '_')}_ms", round(statistics.median(times), 1))
            table.add_row(
                f"  {name}", *(f"{value:.0f} ms" for value in (statistics.median(times), min(times), max(times)))
            )
        self.out.print(table)
        self.out.print()

    async def _one_round(self, number: int) -> dict[str, float]:
        key = f"9{number:09d}"
        words = f"glimmering zeppelin pullover {number}"
        other = f"crocheted submarine cardigan {number}"
        insert = "INSERT INTO products (article_id, name, color, price) VALUES ($1, $2, 'Teal', 19.90)"

        def has(hits: list[Hit], **wanted: str) -> bool:
            return any(hit.article_id == key and hit.model_dump().items() >= wanted.items() for hit in hits)

        def sql(statement: str, *values: object) -> Callable[[], Awaitable[object]]:
            return lambda: self.rows.execute(statement, *values)

        until = self.probe.milliseconds_until
        return {
            "insert": await until(sql(insert, key, words), words, lambda hits: has(hits, name=words)),
            "text update": await until(
                sql("UPDATE products SET name = $2 WHERE article_id = $1", key, other),
                other,
                lambda hits: has(hits, name=other),
            ),
            "price update": await until(
                sql("UPDATE products SET price = 9.90 WHERE article_id = $1", key),
                other,
                lambda hits: has(hits, price="9.90"),
            ),
            "delete": await until(
                sql("DELETE FROM products WHERE article_id = $1", key), other, lambda hits: not has(hits)
            ),
        }

    async def kill_worker(self) -> None:
        """Kill the worker in the middle of a load; its supervisor starts it again, and nothing is lost."""
        before = await self.probe.count()
        worker = await self.stage.worker()
        await self.stats.look()
        started = time.monotonic()
        await self.rows.copy_products(generate_products(SECOND_LOAD, start=FIRST_LOAD))
        while await self.probe.count() <= before:
            await asyncio.sleep(LOOK_EVERY_SECONDS)
        await self.stats.look()
        killed = time.monotonic()
        await self.stage.kill_worker()
        left = before + SECOND_LOAD - await self.probe.count()
        self.out.print(f"  worker {worker} killed (SIGKILL) with {left} of {SECOND_LOAD} rows to go")
        self._expect(left > 0, "the worker was killed too late to be in the middle")
        await self._until_indexed(before + SECOND_LOAD, "indexing the rest")
        self.report.restart_seconds = round(time.monotonic() - killed, 2)
        self._done(f"{SECOND_LOAD} more products, by worker {await self.stage.worker()}", time.monotonic() - started)

    async def subscribe(self) -> None:
        """Let two subscribers of other teams read everything that the worker published, each by itself."""
        started = time.monotonic()
        told: dict[str, list[str]] = {}
        async with Subscribers.start(
            self.settings, lambda name, line: told.setdefault(name, []).append(line)
        ) as subscribers:
            async with asyncio.timeout(SUBSCRIBED_WITHIN_SECONDS):
                while any((await subscribers.lag()).values()):
                    await asyncio.sleep(WATCH_EVERY_SECONDS)
            self._expect(not subscribers.ended(), f"subscribers ended: {subscribers.ended()}")
        kept = sum(int(line.split()[0]) for line in told.get("audit-trail", []))
        falls = len(told.get("price-drops", []))
        self.report.changes_kept_by_a_subscriber = kept
        self._expect(kept >= FIRST_LOAD + SECOND_LOAD, f"a subscriber has {kept} changes only")
        self._done(f"two subscribers: {kept:,} changes kept, {falls} price falls told", time.monotonic() - started)

    async def agree(self) -> None:
        """Compare Postgres and Qdrant."""
        await self.pipeline.settle()
        await self.stats.look()
        found = await reconcile(self.rows, self.probe.store, settle=self.pipeline.settle)
        report = self.report
        report.missing, report.orphaned, report.stale = (
            found.missing.count,
            found.orphaned.count,
            found.stale.count,
        )
        report.embeddings_made = self.stats.total("embeddings_made")
        report.embeddings_avoided = self.stats.total("embeddings_avoided")
        report.dead_letters = self.stats.dead_letters()
        self._expect(found.in_sync, "Postgres and Qdrant differ: see the report")
        self._expect(found.rows == FIRST_LOAD + SECOND_LOAD, f"{found.rows} rows in Postgres")
        self._expect(report.dead_letters == 0, f"{report.dead_letters} dead letters")
        self._done(f"{found.rows:,} rows and {found.points:,} points agree", found.seconds)

    async def _first_record_seen(self) -> float:
        """When the first record was on the topic."""
        async with KafkaAdmin(self.settings.kafka.brokers) as admin:
            while not any(mark.high for mark in (await admin.watermarks(PRODUCT_CHANGES)).values()):
                await asyncio.sleep(LOOK_EVERY_SECONDS)
        return time.monotonic()

    async def _until_indexed(self, wanted: int, label: str) -> None:
        start = await self.probe.count()
        with progress(self.out, f"  {label}", wanted - start) as show:
            async with asyncio.timeout(INDEXED_WITHIN_SECONDS):
                while (count := await self.probe.count()) < wanted:
                    show(count - start, count - start)
                    await self.stats.look()
                    await asyncio.sleep(WATCH_EVERY_SECONDS)
            show(wanted - start, wanted - start)

    def _text(self, row: Product) -> str:
        return self.probe.live.recipe.render(row)

    def _done(self, what: str, seconds: float) -> None:
        _done(self.out, what, seconds)

    def _expect(self, true: bool, problem: str) -> None:
        if not true:
            self.report.problems.append(problem)
            self.out.print(f"[red]✗[/red] {problem}")


def _done(out: Console, what: str, seconds: float) -> None:
    out.print(f"[green]✓[/green] {what:<66}{seconds:>7.1f} s")


async def run_demo(stage: Stage, out: Console) -> DemoReport:
    """Open the stage, tell the story on it, and close it, whatever happens.

    Raises:
        LockstepError: A part cannot be started or reached.
    """
    report = DemoReport()
    started = time.monotonic()
    async with stage.open():
        _done(out, f"{stage.cast} run", time.monotonic() - started)
        settings = stage.settings
        async with (
            open_store(settings) as store,
            open_rows(settings) as rows,
            Pipeline.open(settings) as pipeline,
        ):
            live = await store.live_collection()
            embedder = await open_embedders(settings).for_recipe(live.recipe)
            await Story(
                stage=stage,
                settings=settings,
                rows=rows,
                probe=SearchProbe(store, live, embedder),
                stats=WorkerStats(stage.pages),
                pipeline=pipeline,
                out=out,
                report=report,
            ).tell()
    return report
