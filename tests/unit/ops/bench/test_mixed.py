"""What the benchmarks of mixed changes and of reconcile make of their measurements."""

from ops.bench.mixed import Rates
from ops.bench.mixed import report as mixed_report
from ops.bench.reconcile import BARE, RECONCILE, Cost
from ops.bench.reconcile import report as reconcile_report
from ops.bench.worker_stages import WorkDone


def test_mixed_takes_the_ratio_round_by_round() -> None:
    work = WorkDone(records=2000, batches=10, embeddings=180, seconds={"embed": 0.5, "write": 0.25})
    rates = Rates(
        worker=[2000.0, 1500.0, 1800.0],
        naive=[80.0, 75.0, 60.0],
        naive_embedded=[99.0, 98.9, 99.1],
        work=[work, work, work],
    )
    made = mixed_report(rates, rows=20_000, changes=20_000, seconds=15, seed=1)
    [ratio] = made.ratios
    assert ratio.values == (25.0, 20.0, 30.0)
    assert (ratio.median, ratio.goal) == (25.0, "≥ 20")
    medians = {figure.name: figure.median for figure in made.figures}
    assert medians["one worker: records embedded"] == 9
    assert (medians["one worker: a batch"], medians["one worker: embed"]) == (200, 50)


def test_reconcile_is_set_beside_the_bare_reads_of_its_round() -> None:
    def cost(seconds: float, client: float) -> Cost:
        return Cost(seconds=seconds, client_cpu=client, qdrant_cpu=5, peak_megabytes=170)

    costs = {RECONCILE: [cost(15, 9), cost(20, 12)], BARE: [cost(10, 6), cost(8, 6)]}
    made = reconcile_report(costs, rows=106_000, seed=1)
    assert [ratio.values for ratio in made.ratios] == [(1.5, 2.5), (1.5, 2.0)]
    assert len(made.figures) == 8
