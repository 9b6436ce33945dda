"""Loads catalogue rows into Postgres in batches, and counts what became of each."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol

from connectors.postgres import ProductDraft, Stored
from ops.demo.catalogue_file import Accepted, Refused


class ProductSink(Protocol):
    """Where rows go: `connectors.postgres.Postgres`, or nowhere in a dry run."""

    async def store_products(self, drafts: list[ProductDraft], *, update: bool) -> Stored:
        """Write one batch; whole or not at all."""
        ...


class NoSink:
    """Writes nothing: every row counts as inserted."""

    async def store_products(self, drafts: list[ProductDraft], *, update: bool) -> Stored:
        """Count them."""
        return Stored(inserted=len(drafts))


@dataclass(slots=True, kw_only=True)
class LoadReport:
    """What became of a file's rows; `reasons` counts the refused ones by reason."""

    read: int = 0
    stored: Stored = field(default_factory=Stored)
    reasons: Counter[str] = field(default_factory=Counter)

    @property
    def refused(self) -> int:
        """How many rows were refused."""
        return self.reasons.total()


async def load(
    rows: Iterable[Accepted | Refused],
    sink: ProductSink,
    *,
    batch_size: int,
    update: bool,
    on_refused: Callable[[Refused], None],
    on_progress: Callable[[int, int], None],
) -> LoadReport:
    """Store the accepted rows, report the refused ones as they come, and go on.

    Safe to repeat: rows that exist are left alone, or with `update` made equal to the file's. `on_progress` gets rows
    and bytes read, after each batch.

    Raises:
        SourceError: A batch could not be stored; the batches before it are.
    """
    report = LoadReport()
    batch: list[ProductDraft] = []
    bytes_read = 0

    async def flush() -> None:
        if batch:
            report.stored += await sink.store_products(batch, update=update)
            batch.clear()
        on_progress(report.read, bytes_read)

    for row in rows:
        report.read += 1
        match row:
            case Accepted():
                batch.append(row.draft)
                bytes_read = row.bytes_read
            case Refused():
                # The part after the colon is the row's own value.
                report.reasons[row.reason.partition(":")[0]] += 1
                on_refused(row)
        if len(batch) >= batch_size:
            await flush()
    await flush()
    return report
