"""How the snapshot, latency and payload benchmarks reckon: stages of a change, rates, ratios, and their tables."""

from collections.abc import Mapping
from io import StringIO
from typing import cast

import pytest
from rich.console import Console

from connectors.kafka import KafkaAdmin
from ops.bench import backlog, latency, payload, snapshot
from ops.bench.backlog import until_committed
from ops.bench.figures import BenchReport, Rounds
from ops.bench.latency import Spell
from ops.bench.latency_stages import Stage, ways
from ops.bench.live_changes import Shown
from ops.bench.payload import ONE, TWO, WITHOUT, Run
from ops.bench.snapshot import Raw, Round, Snapshot
from ops.bench.worker_stages import WorkDone
from schemas.errors import BrokerError, StackError

PLACE = "pgserver.public.products[2]@7"


def a_change(*, text: bool = False, place: str = PLACE, seen_at: float = 1000.130) -> Shown:
    provenance = {
        "source": place,
        "source_time": "1970-01-01T00:16:40.000000Z",
        "indexed_at": "1970-01-01T00:16:40.070000Z",
    }
    return Shown(text=text, seen_at=seen_at, provenance=provenance)


def ways_of(*changes: Shown) -> list[latency.Way]:
    places = [change.provenance["source"] for change in changes]
    return ways(changes, dict.fromkeys(places, 1000.050), dict.fromkeys(places, "1970-01-01T00:16:40.120000Z"))


def named(figures: tuple[Rounds, ...]) -> Mapping[str, Rounds]:
    found = {figure.name: figure for figure in figures}
    assert len(found) == len(figures), "a name stands for one figure"
    return found


def shown(report: BenchReport) -> str:
    text = StringIO()
    console = Console(file=text, width=80)
    for table in report.tables():
        console.print(table)
    return text.getvalue()


def test_the_stages_of_a_change_are_its_whole_way() -> None:
    [way] = ways_of(a_change())
    parts = {stage.value: round(way.of(stage), 3) for stage in Stage}
    assert parts == {"capture": 50.0, "broker and wait": 20.0, "worker": 50.0, "reader": 10.0}
    assert sum(way.of(stage) for stage in Stage) == pytest.approx(way.milliseconds) == pytest.approx(130.0)


def test_the_worker_is_done_with_a_change_that_is_seen_before_its_batch_is_acknowledged() -> None:
    [way] = ways_of(a_change(seen_at=1000.115))
    assert way.of(Stage.WORKER) == pytest.approx(45.0)
    assert way.of(Stage.READER) == 0.0
    assert sum(way.of(stage) for stage in Stage) == pytest.approx(way.milliseconds)


@pytest.mark.parametrize(("on_topic", "searchable_at"), [({}, {PLACE: "x"}), ({PLACE: 1.0}, {})])
def test_a_change_without_its_record_or_its_event_is_named(
    on_topic: dict[str, float], searchable_at: dict[str, str]
) -> None:
    with pytest.raises(StackError, match=r"record pgserver.public.products\[2\]@7 "):
        ways([a_change()], on_topic, searchable_at)


def test_the_latency_report_has_each_rate_and_the_goals_of_the_idle_ones() -> None:
    done = WorkDone(records=30, batches=10, embeddings=2, seconds={"embed": 0.05, "write": 0.02})
    spell = Spell(
        ways=ways_of(a_change(), a_change(place="x[0]@1", text=True, seen_at=1000.330)), seconds=2.0, done=done
    )
    report = latency.report({rate: [spell, spell] for rate in (1, 10, 100)}, rows=10, seconds=2.0, seed=3)
    found = named(report.figures)
    assert found["10/s changes"].median == 1.0
    assert found["10/s searchable p50"].values == (pytest.approx(230.0),) * 2
    assert found["10/s price only p50"].median == pytest.approx(130.0)
    assert found["10/s text too p50"].median == pytest.approx(330.0)
    assert found["10/s capture p50"].median == pytest.approx(50.0)
    assert found["10/s embed, a text"].median == 25.0
    assert found["10/s a batch's write"].median == 2.0
    assert {name: figure.goal for name, figure in found.items() if figure.goal} == {
        "1/s searchable p50": "≤ 150",
        "1/s searchable p99": "≤ 500",
        "10/s searchable p50": "≤ 150",
        "10/s searchable p99": "≤ 500",
    }
    assert "…" not in shown(report)


def test_a_rate_without_a_change_of_text_has_no_figure_of_it() -> None:
    spell = Spell(ways=ways_of(a_change()), seconds=1.0, done=WorkDone())
    found = named(latency.report({1: [spell]}, rows=10, seconds=1.0, seed=3).figures)
    assert "1/s price only p50" in found
    assert "1/s text too p50" not in found


def test_a_snapshot_is_compared_by_distinct_texts() -> None:
    done = WorkDone(records=100, batches=1, embeddings=90, seconds={"embed": 4.0, "write": 0.5, "commit": 0.0})
    one = Round(
        snapshot=Snapshot(begun=0.0, first_record=5.0, ended=10.0, done=done),
        sorted=Raw(texts=80, seconds=4.0),
        plain=Raw(texts=80, seconds=8.0),
    )
    report = snapshot.report([one, one], rows=100, seed=1)
    ratios = [ratio.median for ratio in report.ratios]
    assert ratios == [0.8, 1.6, 0.4]  # 16 texts a second, 8 with the connector's start; the model 20, and 10
    assert report.ratios[0].goal == "≥ 0.95"
    found = named(report.figures)
    assert found["distinct texts of the rows"].median == 80
    assert found["texts that the worker embedded"].median == 90
    assert found["of that, embed"].median == 80.0
    assert "of that, commit" not in found
    assert "…" not in shown(report)


def a_run(rate: float) -> Run:
    return Run(
        records=1000,
        seconds=1000 / rate,
        cpu_seconds={"workers": 0.4, "qdrant": 0.2, "broker": 0.1},
        done=WorkDone(records=1000, batches=5, seconds={"write": 0.2, "table": 0.1}),
    )


def test_payload_ratios_are_taken_round_by_round() -> None:
    runs = {ONE: [a_run(2000), a_run(1000)], WITHOUT: [a_run(4000), a_run(1000)], TWO: [a_run(3000), a_run(2000)]}
    report = payload.report(runs, records=1000)
    assert [ratio.values for ratio in report.ratios] == [(0.5, 1.0), (1.5, 2.0)]
    found = named(report.figures)
    assert found["one worker"].values == (2000.0, 1000.0)
    assert found["one worker"].goal == "≥ 3,000"
    assert found["two workers: CPU of qdrant"].median == 0.2
    assert found["one worker: cores busy"].values == (pytest.approx(1.4), pytest.approx(0.7))
    assert found["one worker: write"].values == (40.0, 40.0)
    assert "…" not in shown(report)


class Committing:
    """Commits a record more each time that it is asked, up to a limit."""

    def __init__(self, until: int) -> None:
        self.committed_now = 0
        self.until = until

    async def committed(self, group: str, topic: str) -> dict[int, int]:
        self.committed_now = min(self.committed_now + 1, self.until)
        return {0: self.committed_now}


async def test_a_wait_ends_with_the_last_commit() -> None:
    admin = Committing(until=10)
    await until_committed(cast(KafkaAdmin, admin), 3)
    assert admin.committed_now == 3


async def test_a_wait_without_progress_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backlog, "PATIENCE_SECONDS", 0.0)
    with pytest.raises(BrokerError, match="the workers stand at 2 of 3 records"):
        await until_committed(cast(KafkaAdmin, Committing(until=2)), 3)
