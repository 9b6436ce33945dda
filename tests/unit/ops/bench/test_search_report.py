"""What the benchmark of searches makes of its measurements."""

from rich.console import Console

from ops.bench.search_report import Kind, SearchBenchReport


def report() -> SearchBenchReport:
    made = SearchBenchReport()
    for start in (0, 50):  # two rounds: 1 to 100 ms bare, twice that through the API
        bare = [float(number) for number in range(start + 1, start + 51)]
        made.add(Kind.BARE, 8, bare, seconds=1, api_cpu_ms=0, qdrant_cpu_ms=100)
        made.add(Kind.NEW, 8, [2 * taken for taken in bare], seconds=1, api_cpu_ms=50, qdrant_cpu_ms=150)
    return made


def test_figures_are_over_all_rounds_and_ratios_over_the_bare_request() -> None:
    bare, new = report().figures()
    assert (bare["kind"], bare["p50_ms"], bare["p99_ms"], bare["p50_ratio"]) == ("bare Qdrant", 50.5, 99.01, 1.0)
    assert (new["p50_ms"], new["p50_ratio"], new["p99_ratio"]) == (101.0, 2.0, 2.0)
    assert (new["per_second"], new["api_cpu_ms"], new["qdrant_cpu_ms"]) == (50.0, 1.0, 3.0)


def test_table_fits_a_terminal() -> None:
    made = report()
    for kind in Kind:
        made.add(kind, 32, [9999.9, 99_999.9], seconds=1, api_cpu_ms=200, qdrant_cpu_ms=200)
    console = Console(width=80, no_color=True)
    with console.capture() as captured:
        console.print(made.table())
    lines = captured.get().splitlines()
    assert "…" not in captured.get()
    assert [line.split()[0] for line in lines if line.split()[0].isdecimal()] == ["8", "32"]
    assert any(line.split()[:3] == ["API,", "asked", "before"] for line in lines)
