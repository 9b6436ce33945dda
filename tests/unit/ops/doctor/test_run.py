"""A whole run: healthy, with a part that cannot be asked, and how it is told."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from pydantic import SecretStr
from typer.testing import CliRunner

from connectors.debezium.connect_setup import ConnectorSetup
from connectors.postgres_setup import PostgresSetup, TableSetup
from connectors.qdrant_setup import CollectionSetup
from ops.cli import app
from ops.commands import doctor as command
from ops.doctor import run as run_module
from ops.doctor.finding import Severity
from ops.doctor.run import CHECKS, Reader, Report, run_doctor
from ops.settings import PostgresSettings, Settings
from ops.terminal import ExitCode
from schemas.errors import LockstepError, SettingsError, SourceError, VectorStoreError
from tests.unit.ops.doctor.healthy import CONNECTOR, READ, SERVER, TABLE

SETTINGS = Settings(_env_file=None)
SYSTEMS = ("postgres", "capture", "broker", "qdrant")
AWAY = SourceError("cannot connect to Postgres: refused", hint="lockstep up")
WEAK = replace(TABLE, replica_identity="d")
BARE = replace(READ[CollectionSetup], status="grey")


def readers(read: Mapping[type, Any] = READ, away: Mapping[str, LockstepError] | None = None) -> dict[str, Reader]:
    """Readers that give what is in `read`, but for those that are away. What each gives is told by its checks."""

    def reader(system: str) -> Reader:
        async def give(settings: Settings) -> Mapping[type, Any]:
            if error := (away or {}).get(system):
                raise error
            mine = {need for check in CHECKS[system] for need in check.needs}
            return {need: read[need] for need in mine if need in read}

        return give

    return {system: reader(system) for system in SYSTEMS}


async def test_a_healthy_pipeline_passes_every_check() -> None:
    report = await run_doctor(SETTINGS, readers())
    assert [of.findings for of in report.examinations] == [()] * 5
    assert report.passed == sum(map(len, CHECKS.values()))
    assert command.exit_code(report) is ExitCode.DONE


def test_the_page_names_every_check() -> None:
    page = (Path(__file__).parents[4] / "docs/doctor.md").read_text(encoding="utf-8")
    rows = {line.split(" | ")[0].removeprefix("| ") for line in page.splitlines() if line.startswith("| ")}
    assert [check.passes for checks in CHECKS.values() for check in checks if check.passes not in rows] == []


async def test_a_system_that_cannot_be_asked_is_one_finding_and_hides_no_other() -> None:
    report = await run_doctor(SETTINGS, readers(READ | {CollectionSetup: BARE}, {"postgres": AWAY}))
    by_group = {of.group: of for of in report.examinations}
    [finding] = by_group["postgres"].findings
    assert (finding.severity, finding.says, finding.mend) == (Severity.UNREACHABLE, str(AWAY), "lockstep up")
    assert by_group["postgres"].passed == ()
    assert "is grey" in by_group["qdrant"].findings[0].says
    assert len(by_group["broker"].passed) == len(CHECKS["broker"])
    # Of the checks between two systems those without Postgres are left.
    assert len(by_group["end to end"].passed) == 3
    assert command.exit_code(report) is ExitCode.UNREACHABLE


async def test_everything_away_is_told_part_by_part() -> None:
    away = dict.fromkeys(SYSTEMS, VectorStoreError("away"))
    report = await run_doctor(SETTINGS, readers(away=away))
    assert report.count(Severity.UNREACHABLE) == 4
    assert report.passed == 0


async def test_a_part_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    async def hang(settings: Settings) -> Mapping[type, Any]:
        await asyncio.Event().wait()
        return {}

    monkeypatch.setattr(run_module, "WITHIN_SECONDS", 0.01)
    report = await run_doctor(SETTINGS, readers() | {"broker": hang})
    assert report.count(Severity.UNREACHABLE) == 1


async def test_a_dsn_without_a_database_is_a_wrong_setting() -> None:
    settings = Settings(_env_file=None, postgres=PostgresSettings(dsn=SecretStr("postgresql://u:p@db")))
    with pytest.raises(SettingsError, match="POSTGRES_DSN"):
        await run_doctor(settings, readers())


async def test_an_offset_read_after_the_wal_is_looked_at_again() -> None:
    ahead = replace(CONNECTOR, offset_lsn=SERVER.wal_position + 100)
    given = readers(READ | {ConnectorSetup: ahead})
    first = given["postgres"]
    positions = iter((SERVER.wal_position, SERVER.wal_position + 200))

    async def moving(settings: Settings) -> Mapping[type, Any]:
        return {**await first(settings), PostgresSetup: replace(SERVER, wal_position=next(positions))}

    report = await run_doctor(SETTINGS, given | {"postgres": moving})
    assert report.count(Severity.PROBLEM) == 0


async def test_an_offset_that_stays_ahead_is_a_problem() -> None:
    ahead = replace(CONNECTOR, offset_lsn=SERVER.wal_position + 100)
    report = await run_doctor(SETTINGS, readers(READ | {ConnectorSetup: ahead}))
    assert report.count(Severity.PROBLEM) == 1


async def _report(*changes: tuple[type, Any]) -> Report:
    return await run_doctor(SETTINGS, readers(READ | dict(changes)))


async def test_warnings_alone_are_healthy_and_a_problem_is_not() -> None:
    assert command.exit_code(await _report((CollectionSetup, BARE))) is ExitCode.DONE
    assert command.exit_code(await _report((TableSetup, WEAK))) is ExitCode.FOUND_WRONG


@pytest.fixture
def invoke(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs the command over what was read."""

    def invoke(report: Report, *arguments: str) -> Any:
        async def run(settings: Settings) -> Report:
            return report

        monkeypatch.setattr(run_module, "run_doctor", run)
        monkeypatch.setattr(command, "load_settings", lambda: SETTINGS)
        return CliRunner().invoke(app, ["doctor", *arguments], env={"COLUMNS": "80"})

    return invoke


def test_a_problem_is_told_with_its_remedy_in_80_columns(invoke: Any) -> None:
    result = invoke(asyncio.run(_report((TableSetup, WEAK))))
    assert result.exit_code == ExitCode.FOUND_WRONG
    lines = result.stdout.splitlines()
    assert "  problem     replica identity of public.products is DEFAULT, not FULL: deletes" in lines[1]
    assert "    ALTER TABLE public.products REPLICA IDENTITY FULL;" in lines
    assert lines[-1].startswith("1 problem, 0 warnings; ")
    assert max(map(len, lines)) <= 80
    assert "wal_level" not in result.stdout


def test_verbose_names_what_passed(invoke: Any) -> None:
    result = invoke(asyncio.run(_report()), "--verbose")
    assert result.exit_code == ExitCode.DONE
    assert "  ok          wal_level is logical" in result.stdout.splitlines()
    assert max(map(len, result.stdout.splitlines())) <= 80


def test_json_has_everything(invoke: Any) -> None:
    result = invoke(asyncio.run(_report((TableSetup, WEAK))), "--json")
    assert result.exit_code == ExitCode.FOUND_WRONG
    told = orjson.loads(result.stdout)
    assert (told["healthy"], told["problems"], told["warnings"], told["unreachable"]) == (False, 1, 0, 0)
    postgres = told["systems"][0]
    assert postgres["group"] == "postgres"
    assert postgres["findings"][0]["severity"] == "problem"
    assert "wal_level is logical" in postgres["passed"]


def test_a_remedy_is_not_broken_into_lines(invoke: Any) -> None:
    indexes = {field: kind for field, kind in READ[CollectionSetup].indexes.items() if field != "color"}
    report = asyncio.run(_report((CollectionSetup, replace(READ[CollectionSetup], indexes=indexes))))
    result = invoke(report)
    [remedy] = [line for line in result.stdout.splitlines() if "curl" in line]
    assert remedy.endswith('\'{"field_name":"color","field_schema":"keyword"}\'')
