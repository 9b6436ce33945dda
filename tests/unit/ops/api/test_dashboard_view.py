"""What the dashboard shows of a snapshot, and what its history keeps."""

import asyncio
import logging

import pytest

from ops.api import dashboard_sampler
from ops.api.dashboard_page import DashboardPage
from ops.api.dashboard_sampler import Sampler, Snapshot, TooManyListenersError
from ops.api.dashboard_view import UNKNOWN, actions, flow, tiles, workers
from ops.api.history import EVERY_SECONDS, KEPT_SECONDS, History, Sample
from ops.settings import StatusSettings
from ops.status.limits import Level
from ops.status.report import SyncStatus, WorkStatus
from ops.status.thresholds import judge
from tests.unit.ops.status import samples

AWAY = {"index": "qdrant is away", "rows": "postgres is away", "lag": "kafka is away"}


def snapshot(status: SyncStatus) -> Snapshot:
    return Snapshot(status=judge(status, StatusSettings()), age_seconds=None, letters=None)


def sample(at: float, lag: int | None = 0) -> Sample:
    return Sample(at=at, lag_records=lag, age_seconds=None, wal_bytes=None)


def levels(status: SyncStatus) -> dict[str, Level]:
    return {part.name: part.level for part in flow(snapshot(status))}


def test_every_part_of_a_pipeline_that_is_well_is_green() -> None:
    assert set(levels(samples.status()).values()) == {Level.GREEN}


@pytest.mark.parametrize(
    ("spoilt", "red"),
    [
        ({"index": None, "unavailable": AWAY}, {"Qdrant", "Search"}),
        ({"rows": None, "unavailable": AWAY}, {"Postgres"}),
        ({"lag": None, "unavailable": AWAY}, {"Kafka"}),
        ({"connector": samples.connector(state="FAILED")}, {"Debezium"}),
        ({"slot": samples.slot(wal_status="lost")}, {"Debezium"}),
        ({"slot": samples.slot(held_back_bytes=9 * 10**9)}, {"Postgres"}),
        ({"workers": [samples.worker(unready_because="held", held_part="qdrant", held_seconds=60.0)]}, {"Workers"}),
        ({"group": samples.group(members=[])}, {"Workers"}),
    ],
    ids=[
        "qdrant away",
        "postgres away",
        "broker away",
        "connector failed",
        "slot lost",
        "WAL held back",
        "worker held",
        "no worker",
    ],
)
def test_fault_shows_at_the_part_that_has_it(spoilt: dict[str, object], red: set[str]) -> None:
    found = levels(samples.status(**spoilt))
    assert {name for name, level in found.items() if level is Level.RED} == red


def test_what_cannot_be_asked_is_a_dash_and_no_zero() -> None:
    unknown = samples.status(
        rows=None, index=None, lag=None, group=None, workers=[], slot=None, connector=None, unavailable=AWAY
    )
    values = {number.value for part in flow(snapshot(unknown)) for number in part.numbers}
    assert values == {UNKNOWN}
    assert "None" not in DashboardPage().live(snapshot(unknown), History())


def test_worker_is_as_red_as_its_line_whatever_its_name() -> None:
    held = samples.worker(name="lag", unready_because="held", held_part="qdrant", held_seconds=60.0)
    judged = snapshot(samples.status(workers=[samples.worker(), held])).status
    assert [(worker.name, level) for worker, level in workers(judged)] == [
        ("worker-1", Level.GREEN),
        ("lag", Level.RED),
    ]


def test_actions_keep_their_order_when_their_counts_change() -> None:
    before = samples.status(work=_work({"upsert_point": 3, "keep": 1}))
    after = samples.status(work=_work({"keep": 9, "upsert_point": 3}))
    assert [each.name for each in actions(before)] == [each.name for each in actions(after)] == ["keep", "upsert point"]
    assert [each.share for each in actions(after)] == [0.75, 0.25]


def test_tiles_tell_the_embeddings_avoided_and_the_drift_with_its_age() -> None:
    shown = snapshot(samples.status(work=_work({}), last_reconcile=samples.reconcile_run(missing=2)))
    found = {tile.short: (tile.value, tile.more) for tile in tiles(shown)}
    assert found["Embeddings avoided"] == ("25 %", "1 of 4 living rows")
    assert found["Drift"] == ("2", "of 47 rows, 60 min ago")


def test_history_keeps_an_hour_and_no_more() -> None:
    history = History()
    for number in range(2000):
        history.add(sample(number * EVERY_SECONDS, number))
    times, lags, *_ = history.columns()
    assert len(times) == KEPT_SECONDS / EVERY_SECONDS
    assert lags[-1] == 1999
    assert history.newest == (1999 * EVERY_SECONDS, 1999, None, None)


def test_history_passes_over_what_follows_too_close() -> None:
    history = History()
    assert history.add(sample(0))
    assert not history.add(sample(EVERY_SECONDS - 0.1))
    assert history.add(sample(EVERY_SECONDS))


def test_history_that_is_empty_has_columns_all_the_same() -> None:
    assert History().columns() == [[], [], [], []]
    assert History().newest is None


def test_history_after_a_pause_forgets_what_is_too_old() -> None:
    history = History()
    history.add(sample(0))
    history.add(sample(2 * KEPT_SECONDS))
    assert history.columns()[0] == [2 * KEPT_SECONDS]


def test_table_has_the_highest_of_each_five_minutes() -> None:
    history = History()
    for at, lag in ((0, 1), (10, 5), (20, None), (300, None), (610, 2)):
        history.add(sample(at, lag))
    assert [(peak.at, peak.lag_records) for peak in history.peaks()] == [(600, 2), (300, None), (0, 5)]


async def test_one_look_serves_all_who_wait() -> None:
    looks = 0

    async def look(before: Snapshot | None) -> Snapshot:
        nonlocal looks
        looks += 1
        return snapshot(samples.status(rows=looks))

    sampler = Sampler(look)
    waiting = [asyncio.create_task(sampler.after(0, within_seconds=5)) for _ in range(3)]
    await asyncio.sleep(0)
    await sampler.look()
    assert await asyncio.gather(*waiting) == 3 * [sampler.latest]
    assert looks == 1


async def test_sampler_looks_again_after_a_look_that_failed(caplog: pytest.LogCaptureFixture) -> None:
    looks = 0

    async def look(before: Snapshot | None) -> Snapshot:
        nonlocal looks
        looks += 1
        if looks == 1:
            raise RuntimeError("nobody knows why")
        return snapshot(samples.status())

    sampler = Sampler(look)
    with caplog.at_level(logging.ERROR):
        async with sampler.running(), asyncio.timeout(5):
            while looks == 0:
                await asyncio.sleep(0)
            sampler.hurry()
            assert await sampler.after(0, within_seconds=5) is not None
    assert [record.message for record in caplog.records] == ["look failed"]


async def test_sampler_that_is_closed_lets_go_of_who_waits() -> None:
    async def look(before: Snapshot | None) -> Snapshot:
        return await asyncio.Event().wait()  # type: ignore[return-value]

    sampler = Sampler(look)
    async with sampler.running():
        waiting = asyncio.create_task(sampler.after(0, within_seconds=60))
        await asyncio.sleep(0)
    assert await asyncio.wait_for(waiting, 1) is None


async def test_listener_that_goes_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    async def look(before: Snapshot | None) -> Snapshot:
        return snapshot(samples.status())

    monkeypatch.setattr(dashboard_sampler, "MOST_LISTENERS", 1)
    sampler = Sampler(look)
    with sampler.listening(), pytest.raises(TooManyListenersError), sampler.listening():
        pass
    with sampler.listening():
        pass


def _work(counted: dict[str, int]) -> WorkStatus:
    return WorkStatus(workers=1, table_entries=4, records=4, embeddings_made=3, embeddings_avoided=1, actions=counted)
