"""What `lockstep replay`, `rebuild` and `rollback` refuse before anything is read, and what they print."""

import re
from datetime import UTC, datetime

import pytest
import typer
from typer.testing import CliRunner

from ops.backfill.progress import Progress
from ops.commands import rebuild, replay
from ops.commands.rebuild import plan_lines
from ops.commands.replay import parse_moment, parse_offsets
from ops.rebuild import RebuildPlan
from schemas.collection import LiveCollection
from schemas.recipe import OFFLINE_MODEL, Recipe

runner = CliRunner()


@pytest.fixture
def app() -> typer.Typer:
    app = typer.Typer()
    replay.register(app)
    rebuild.register(app)
    return app


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["replay", "--yes"], "give one of"),
        (["replay", "--from", "beginning", "--from-offset", "0:1"], "give one of"),
        (["replay", "--from", "end", "--yes"], "takes beginning alone"),
        (["replay", "--from-offset", "0", "--yes"], "write partition:offset"),
        (["replay", "--from-offset", "0:1,0:2", "--yes"], "write partition:offset"),
        (["replay", "--from-time", "yesterday", "--yes"], "write a time as in"),
        (["replay", "--from", "beginning", "--json"], "give --yes too"),
        (["rebuild", "--model", "m", "--recipe", "f"], "give --model or --recipe"),
        (["rebuild", "--json"], "give --yes too"),
        (["rollback", "--json"], "give --yes too"),
    ],
)
def test_arguments_that_make_no_sense_are_a_usage_error(app: typer.Typer, arguments: list[str], message: str) -> None:
    result = runner.invoke(app, arguments)
    assert result.exit_code == 2
    assert message in re.sub(r"[\s│]+", " ", result.output)


def test_offsets_and_times_are_read() -> None:
    assert parse_offsets("0:1200,3:0") == {0: 1200, 3: 0}
    assert parse_offsets(None) == {}
    assert parse_moment("2026-11-20T10:00", "--until") == datetime(2026, 11, 20, 10, tzinfo=UTC)
    assert parse_moment("2026-11-20T12:00+02:00", "--until") == datetime(2026, 11, 20, 10, tzinfo=UTC)


def test_plan_says_what_is_made_and_what_is_kept() -> None:
    recipe = Recipe(model=f"{OFFLINE_MODEL}@256", dimensions=256)
    plan = RebuildPlan(
        target=LiveCollection(name="products-2", recipe=recipe),
        creates=True,
        moves=True,
        replaces="products-1",
        donor=None,
        points=1500,
    )
    assert plan_lines(plan) == [
        f"products-2 is made: {OFFLINE_MODEL}@256, 256 dimensions",
        "products-1 is live, with 1,500 points, and is kept",
        "vectors are made anew",
    ]


def test_progress_speaks_at_each_phase_and_every_five_seconds() -> None:
    times = iter((0.0, 1.0, 5.0, 6.0, 10.0))
    said: list[str] = []
    progress = Progress(say=said.append, clock=lambda: next(times))
    progress.begin("filling", 1000, "keys")
    for _ in range(4):
        progress.advance(100)
    assert said == [
        "filling: 1,000 keys",
        "filling: 200 of 1,000, 40/s, 20 s left",
        "filling: 400 of 1,000, 40/s, 15 s left",
    ]
