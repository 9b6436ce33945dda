"""What a catalogue takes: the measured sizes come out as measured, and the page says what the code says."""

from pathlib import Path

import pytest

from ops.bench import sizing
from ops.bench.sizing import EXAMPLES, Workload, most_entries_a_worker, price_table, rebuild_seconds, size, table
from streams.topics import PARTITIONS

PAGE = (Path(__file__).parents[4] / "docs" / "scaling.md").read_text()


@pytest.mark.parametrize("made", [table(EXAMPLES), price_table()], ids=["sizes", "prices"])
def test_page_has_the_tables_that_the_code_gives(made: str) -> None:
    assert made in PAGE, f"put this into docs/scaling.md:\n{made}"


@pytest.mark.parametrize(
    "said",
    [
        f"{most_entries_a_worker() / 1e6:.0f} million a worker",
        f"{size(EXAMPLES[-1]).workers} workers for {PARTITIONS} partitions",
        f"About {round(sizing.PAYLOAD_CHANGES_PER_SECOND, -2):,.0f} price changes a second",
        f"{sizing.EMBEDDINGS_PER_SECOND:.0f} texts a second on {sizing.CORES_A_WORKER} cores",
    ],
)
def test_page_says_in_words_what_the_code_counts(said: str) -> None:
    assert said in PAGE


def test_sizes_that_were_measured_come_out_as_measured() -> None:
    small, large = (size(Workload(rows=rows)) for rows in (106_000, 1_000_000))
    assert small.one_worker_bytes == pytest.approx(478e6, rel=0.02)
    assert large.one_worker_bytes == pytest.approx(1124e6, rel=0.02)
    assert small.one_worker_recovery_seconds == pytest.approx(7.1, rel=0.02)
    assert large.one_worker_recovery_seconds == pytest.approx(13.2, rel=0.02)
    assert rebuild_seconds(106_000, 300_000) == pytest.approx(81.3, rel=0.02)
    assert large.rebuild_disk_bytes == pytest.approx(706e6, rel=0.02)
    assert small.qdrant_memory_bytes == pytest.approx(426e6, rel=0.05)


def test_workers_are_counted_by_what_keeps_them_busy() -> None:
    busy = Workload(rows=86_400, changed_a_day_share=1, peak_factor=2 * sizing.EMBEDDINGS_PER_SECOND, text_share=1)
    assert size(busy).workers == 2


def test_a_table_that_is_not_read_in_time_asks_for_more_workers_though_nothing_changes() -> None:
    still = Workload(rows=2 * most_entries_a_worker(), changed_a_day_share=0)
    assert size(still).workers == 2


def test_six_workers_share_the_table_and_the_first_embedding() -> None:
    made = size(Workload(rows=6_000_000))
    alone = size(Workload(rows=1_000_000))
    assert made.each_worker_bytes == pytest.approx(alone.one_worker_bytes)
    assert made.all_workers_embedding_seconds == pytest.approx(made.embedding_seconds / PARTITIONS)


def test_larger_rows_and_vectors_take_more() -> None:
    plain, large = size(Workload(rows=1000)), size(Workload(rows=1000, row_bytes=4000, dimensions=1536))
    assert large.source_disk_bytes > 5 * plain.source_disk_bytes
    assert large.one_worker_bytes > plain.one_worker_bytes
    assert large.qdrant_memory_bytes - plain.qdrant_memory_bytes == pytest.approx(1000 * (1536 - 384) * 4 * 1.5)


def test_table_rounds_to_two_digits_and_names_the_unit() -> None:
    made = table([Workload(rows=1_000_000)])
    assert "| memory of a worker that has every partition | 1.1 GB |" in made
    assert "| first embedding, 2 cores | 2.6 h |" in made
