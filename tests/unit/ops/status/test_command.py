"""What `lockstep status` prints and exits with."""

import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from ops.cli import app
from ops.commands import status as command
from ops.commands.status_views import StatusPage, changes
from ops.settings import StatusSettings
from ops.status.limits import Level
from ops.status.report import PARTS, SyncStatus
from ops.status.thresholds import judge
from tests.unit.ops.status.samples import connector, group, lag, status, worker

HOSTILE = "gone\x1b[2J\x9b31m\r\nRED herring [red]x[/red]"


def judged(**spoilt: Any) -> SyncStatus:
    return judge(status(**spoilt), StatusSettings())


DEAD = judged(**dict.fromkeys(PARTS), unavailable=dict.fromkeys(PARTS, "no answer"), workers=[])


class Looks:
    """Stands for the pipeline: gives one status after the other, and then interrupts."""

    def __init__(self, *found: SyncStatus) -> None:
        self._found = list(found)
        self.count = 0

    @asynccontextmanager
    async def __call__(self, settings: object) -> AsyncIterator[command.Look]:
        async def look() -> SyncStatus:
            self.count += 1
            if not self._found:
                raise KeyboardInterrupt
            return self._found.pop(0)

        yield look


def invoke(monkeypatch: pytest.MonkeyPatch, looks: Looks, *arguments: str) -> Any:
    monkeypatch.setattr(command, "looking", looks)
    monkeypatch.setattr(command, "SECOND_LOOK_SECONDS", 0)
    monkeypatch.setattr(command, "REDRAW_SECONDS", 0)
    return CliRunner().invoke(app, ["status", *arguments], env={"COLUMNS": "80"})


def page(found: SyncStatus, *, color: bool = False) -> str:
    console = Console(file=io.StringIO(), width=80, force_terminal=color, highlight=False)
    console.print(StatusPage(found))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize(
    ("found", "code", "verdict"),
    [
        pytest.param(judged(), 0, "GREEN: every part is well", id="green"),
        pytest.param(judged(open_dead_letters=1), 0, "AMBER: dead letters", id="amber"),
        pytest.param(judged(connector=connector(tasks=["FAILED"])), 1, "RED: connector", id="red"),
        pytest.param(DEAD, 3, "RED: connector, slot, lag", id="nothing-answers"),
    ],
)
def test_the_level_is_the_verdict_and_the_exit_code(
    found: SyncStatus, code: int, verdict: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = invoke(monkeypatch, Looks(found), "--json")
    assert result.exit_code == code
    assert SyncStatus.model_validate_json(result.stdout) == found
    result = invoke(monkeypatch, Looks(found))
    assert result.exit_code == code
    assert result.stdout.startswith(verdict)


def test_a_second_look_tells_whether_what_waits_is_being_applied(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = Looks(judged(lag=lag(5)), judged(lag=lag(5, still_seconds=3.0)))
    result = invoke(monkeypatch, looks)
    assert looks.count == 2
    assert "no progress for 3 s" in result.stdout


def test_where_nothing_waits_one_look_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = Looks(judged(), judged())
    invoke(monkeypatch, looks)
    assert looks.count == 1


def test_watching_off_a_terminal_prints_changes_of_level_and_ends_well(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = judged(connector=connector(tasks=["FAILED"], failure="slot is gone", hint="mend it"))
    result = invoke(monkeypatch, Looks(judged(), judged(), broken, broken, judged()), "--watch")
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "2026-11-20T10:00:00Z green status: every part is well",
        "2026-11-20T10:00:00Z red connector: RUNNING, task 0 FAILED: slot is gone (try: mend it)",
        "2026-11-20T10:00:00Z red status: connector",
        "2026-11-20T10:00:00Z green connector: RUNNING, task 0 RUNNING",
        "2026-11-20T10:00:00Z green status: every part is well",
    ]


def test_watching_on_a_terminal_draws_each_look_and_ends_well(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Console(file=io.StringIO(), width=80, force_terminal=True, highlight=False)
    monkeypatch.setattr(command, "out", terminal)
    result = invoke(monkeypatch, Looks(judged(), judged(open_dead_letters=1)), "--watch")
    assert result.exit_code == 0
    assert isinstance(terminal.file, io.StringIO)
    drawn = terminal.file.getvalue()
    assert "every part is well" in drawn
    assert "1 open" in drawn
    assert drawn.rfind("\x1b[?25h") > drawn.rfind("\x1b[?25l"), "the cursor is back"


def test_a_part_that_is_gone_from_a_later_look_is_told_once() -> None:
    lost = judged(workers=[worker(name=None, error="cannot connect")])
    [gone, whole] = changes(lost, judged())
    assert gone.endswith("green 127.0.0.1:6066: is no longer there")
    assert whole.endswith("green status: every part is well")
    assert changes(judged(), judged()) == []


def test_one_document_cannot_be_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    result = invoke(monkeypatch, Looks(judged()), "--watch", "--json")
    assert result.exit_code == 2


@pytest.mark.parametrize(
    "spoilt",
    [
        pytest.param({"connector": connector(tasks=["FAILED"], failure=HOSTILE, hint=HOSTILE)}, id="a-failure"),
        pytest.param({"index": None, "unavailable": {"index": HOSTILE}}, id="an-error"),
        pytest.param({"workers": [worker(name=HOSTILE, unready_because=HOSTILE, hint=HOSTILE)]}, id="a-worker"),
        pytest.param({"dead_letters_by_reason": {HOSTILE: 1}, "open_dead_letters": 1}, id="a-reason"),
    ],
)
def test_orders_to_the_terminal_in_what_parts_say_are_written_out(spoilt: dict[str, Any]) -> None:
    found = judged(**spoilt)
    shown = [page(found), *changes(None, found)]
    for text in shown:
        assert "\x1b" not in text
        assert "\x9b" not in text
        assert "\r" not in text
    assert all("\n" not in line for line in shown[1:])
    assert r"\x1b" in shown[0]
    assert "[red]x[/red]" in " ".join(shown[0].split())


def test_a_cause_that_shows_in_several_lines_is_helped_once() -> None:
    kafka = ("lag", "group", "open_dead_letters")
    shown = page(judged(**dict.fromkeys(kafka), unavailable=dict.fromkeys(kafka, "no answer within 5 s")))
    assert shown.count("Try:") == 1


@pytest.mark.parametrize(
    "found",
    [
        judged(),
        DEAD,
        judged(
            group=group(members=[]),
            workers=[worker(name="w" * 60, unready_because="x" * 100, hint="y" * 100, held_seconds=60.0)],
            lag=lag(1_234_567_890),
        ),
    ],
    ids=["well", "dead", "long"],
)
def test_no_line_is_wider_than_80_columns(found: SyncStatus) -> None:
    assert max(map(len, page(found).splitlines())) <= 80


def test_a_red_line_is_red() -> None:
    shown = page(judged(connector=connector(tasks=["FAILED"])), color=True)
    assert f"\x1b[1;31m{Level.RED}" in shown
