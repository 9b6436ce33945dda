"""Loading in batches: what is stored, refused and counted."""

import pytest

from connectors.postgres import ProductDraft, Stored
from ops.demo.catalogue_file import Accepted, Refused
from ops.demo.loader import LoadReport, NoSink, load
from schemas.errors import SourceError


class FakeSink:
    """Keeps batches; a key that is there already counts as unchanged."""

    def __init__(self, fail_at_batch: int | None = None) -> None:
        self.batches: list[list[str]] = []
        self.fail_at_batch = fail_at_batch

    async def store_products(self, drafts: list[ProductDraft], *, update: bool) -> Stored:
        if len(self.batches) == self.fail_at_batch:
            raise SourceError("cannot store rows")
        known = {key for batch in self.batches for key in batch}
        self.batches.append([draft.article_id for draft in drafts])
        new = sum(draft.article_id not in known for draft in drafts)
        return Stored(inserted=new, unchanged=len(drafts) - new)


def accepted(*keys: str) -> list[Accepted | Refused]:
    return [
        Accepted(line=line, draft=ProductDraft(article_id=key, name="n"), bytes_read=10 * line)
        for line, key in enumerate(keys, start=1)
    ]


async def run(
    rows: list[Accepted | Refused], sink: FakeSink | NoSink, batch_size: int = 2
) -> tuple[LoadReport, list[int], list[tuple[int, int]]]:
    refused: list[int] = []
    progress: list[tuple[int, int]] = []
    report = await load(
        rows,
        sink,
        batch_size=batch_size,
        update=False,
        on_refused=lambda row: refused.append(row.line),
        on_progress=lambda read, done: progress.append((read, done)),
    )
    return report, refused, progress


async def test_rows_are_stored_in_batches_with_a_rest() -> None:
    sink = FakeSink()
    report, _, progress = await run(accepted("a", "b", "c", "d", "a"), sink)
    assert sink.batches == [["a", "b"], ["c", "d"], ["a"]]
    assert report.stored == Stored(inserted=4, unchanged=1)
    assert progress == [(2, 20), (4, 40), (5, 50)]


async def test_refused_rows_are_told_and_counted_by_reason_and_the_others_stored() -> None:
    sink = FakeSink()
    bad = [Refused(line=7, reason="price is negative: -1"), Refused(line=9, reason="price is negative: -2")]
    report, refused, _ = await run([*accepted("a"), *bad, *accepted("b")], sink)
    assert sink.batches == [["a", "b"]]
    assert refused == [7, 9]
    assert (report.read, report.refused, dict(report.reasons)) == (4, 2, {"price is negative": 2})


async def test_a_batch_that_cannot_be_stored_ends_the_load_and_keeps_those_before() -> None:
    sink = FakeSink(fail_at_batch=1)
    with pytest.raises(SourceError):
        await run(accepted("a", "b", "c", "d"), sink)
    assert sink.batches == [["a", "b"]]


async def test_a_dry_run_counts_what_could_be_loaded() -> None:
    report, _, _ = await run(accepted("a", "b", "c"), NoSink())
    assert report.stored.inserted == 3
