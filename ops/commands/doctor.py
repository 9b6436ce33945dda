"""`lockstep doctor`."""

import asyncio
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from ops.doctor.finding import Examination, Finding, Severity
from ops.settings import load_settings
from ops.terminal import ExitCode, harmless, out, print_json

if TYPE_CHECKING:
    from ops.doctor.run import Report

_STYLES = {Severity.PROBLEM: "red", Severity.WARNING: "yellow", Severity.UNREACHABLE: "red"}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(doctor)


def doctor(
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Name each check that passed.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Look for what silently breaks the pipeline, and say the command that mends it.

    Changes nothing. Exit code 1 when there is a problem, 3 when a part cannot be asked; warnings alone give 0.

    Example: lockstep doctor --verbose
    """
    from ops.doctor.run import run_doctor

    report = asyncio.run(run_doctor(load_settings()))
    if json:
        print_json(as_json(report))
    else:
        print_report(report, verbose=verbose)
    if (code := exit_code(report)) is not ExitCode.DONE:
        raise typer.Exit(code)


def exit_code(report: "Report") -> ExitCode:
    """Unreachable before problems: of a part that cannot be asked, nothing is known."""
    if report.count(Severity.UNREACHABLE):
        return ExitCode.UNREACHABLE
    return ExitCode.FOUND_WRONG if report.count(Severity.PROBLEM) else ExitCode.DONE


def as_json(report: "Report") -> dict[str, Any]:
    """Everything, with the counts on top."""
    return {
        "at": report.at.isoformat(),
        "healthy": exit_code(report) is ExitCode.DONE,
        "problems": report.count(Severity.PROBLEM),
        "warnings": report.count(Severity.WARNING),
        "unreachable": report.count(Severity.UNREACHABLE),
        "passed": report.passed,
        "systems": [asdict(examination) for examination in report.examinations],
    }


def print_report(report: "Report", *, verbose: bool) -> None:
    """A paragraph a system: what is wrong with its remedy, then what passed."""
    for examination in report.examinations:
        _print_examination(examination, verbose)
    problems, warnings = report.count(Severity.PROBLEM), report.count(Severity.WARNING)
    unreachable = report.count(Severity.UNREACHABLE)
    verdict = [f"{_counted(problems, 'problem')}, {_counted(warnings, 'warning')}"]
    if unreachable:
        verdict.append(f"{_counted(unreachable, 'part')} cannot be asked")
    out.print(f"{', '.join(verdict)}; {_counted(report.passed, 'check')} passed")


def _print_examination(examination: Examination, verbose: bool) -> None:
    passed = len(examination.passed)
    out.print(Text.assemble((f"{examination.group:<14}", "bold"), f"{_counted(passed, 'check')} passed"))
    for finding in examination.findings:
        _print_finding(finding)
    if verbose:
        for passes in examination.passed:
            out.print(_row(Text("ok", style="green"), passes))


def _print_finding(finding: Finding) -> None:
    out.print(_row(Text(finding.severity, style=_STYLES[finding.severity]), harmless(finding.says)))
    for line in (finding.mend or "").splitlines():
        # Unbroken, so that it can be copied.
        out.print(Text(f"    {harmless(line)}"), soft_wrap=True)


def _row(label: Text, says: str) -> Table:
    row = Table.grid(padding=(0, 1))
    row.add_column(width=13)
    row.add_column(overflow="fold")
    row.add_row(Text.assemble("  ", label), Text(says))
    return row


def _counted(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"
