"""What a scenario's rounds come to, for a terminal and for other programs."""

import pytest
from rich.console import Console

from ops.bench.figures import BenchReport, Figure, Ratio, exponent

REPORT = BenchReport(
    scenario="mixed",
    seed=1,
    sizes={"rows": 20_000, "changes a round": 1000},
    figures=(
        Figure(name="one worker, with the fan-out and all that belongs to it", unit="records/s", values=(3000.4, 2900)),
        Figure(name="left wrong", unit="points", values=(0.0,)),
    ),
    ratios=(Ratio(name="one worker, by the naive consumer", values=(25.25, 22.0, 31.123456789), goal="≥ 20"),),
    notes=("A delete is two records, its own and the tombstone, which makes this a sentence of two lines.",),
)


def test_median_and_spread_are_over_the_rounds() -> None:
    [ratio] = REPORT.ratios
    assert (ratio.median, ratio.low, ratio.high) == (25.25, 22.0, 31.123456789)
    assert ratio.spread == pytest.approx((31.123456789 - 22) / 25.25)


def test_a_figure_that_is_nothing_has_no_spread() -> None:
    assert Figure(name="left wrong", unit="points", values=(0.0, 0.0)).spread == 0


def test_json_has_machine_time_sizes_and_values() -> None:
    made = REPORT.as_dict()
    assert (made["scenario"], made["seed"], made["sizes"]["rows"]) == ("mixed", 1, 20_000)
    assert made["machine"]["versions"]["fastembed"]
    assert made["date"].endswith("+00:00")
    assert made["ratios"][0]["values"] == [25.25, 22.0, 31.1235]
    assert made["ratios"][0]["goal"] == "≥ 20"
    assert made["figures"][1]["unit"] == "points"
    assert "goal" not in made["figures"][1]


def test_json_keeps_whole_numbers_whole() -> None:
    made = Figure(name="texts embedded", unit="texts", values=(123_456_789.0,)).as_dict()
    assert made["median"] == 123_456_789


def test_tables_fit_a_terminal_and_cut_nothing() -> None:
    console = Console(width=80, no_color=True)
    with console.capture() as captured:
        for table in REPORT.tables():
            console.print(table)
    text = captured.get()
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= 80
    words = " ".join(text.split())
    for wanted in ("20,000 rows, 1,000 changes a round", "2,950", "records/s", "≥ 20", "tombstone"):
        assert wanted in words


def test_a_report_without_ratios_and_notes_has_one_table() -> None:
    report = BenchReport(scenario="memory", seed=None, sizes={}, figures=REPORT.figures, ratios=())
    assert len(report.tables()) == 1


@pytest.mark.parametrize("power", [0.0, 1.0, 2.0])
def test_exponent_is_the_power_that_the_cost_grows_with(power: float) -> None:
    sizes = (1000, 10_000, 106_000)
    assert exponent(sizes, [3 * size**power for size in sizes]) == pytest.approx(power, abs=1e-9)


def test_exponent_of_one_size_is_refused() -> None:
    with pytest.raises(ValueError, match="constant"):
        exponent((1000, 1000), (1.0, 2.0))
