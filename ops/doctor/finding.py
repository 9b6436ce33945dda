"""A finding, a check, and what came of running checks over what was read."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Severity(StrEnum):
    """What a finding means for whoever is on call."""

    PROBLEM = "problem"
    """It breaks a promise, now or at the next change."""
    WARNING = "warning"
    """It will hurt: at a failover, on a full disk, when a person looks for help."""
    UNREACHABLE = "unreachable"
    """A system could not be asked, so that nothing is known of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is not as it must be. `says` is a sentence without a full stop that names the thing."""

    severity: Severity
    says: str
    mend: str | None
    """The command or the SQL that mends it; each statement or command stands on its own line."""


Findings = Iterator[Finding]


def problem(says: str, mend: str) -> Finding:
    """A finding that breaks a promise."""
    return Finding(severity=Severity.PROBLEM, says=says, mend=mend)


def warning(says: str, mend: str) -> Finding:
    """A finding that will hurt."""
    return Finding(severity=Severity.WARNING, says=says, mend=mend)


@dataclass(frozen=True, slots=True)
class Check:
    """One question. `judge` takes what was read, one value of each type in `needs`, and yields what is wrong."""

    passes: str
    """What is true when nothing is found."""
    judge: Callable[..., Findings]
    needs: tuple[type, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Examination:
    """What came of one group's checks. A check whose needs were not read stands in neither list."""

    group: str
    findings: tuple[Finding, ...] = ()
    passed: tuple[str, ...] = ()


def examine(group: str, checks: Iterable[Check], read: Mapping[type, Any]) -> Examination:
    """Run those of the checks whose needs were read."""
    findings: list[Finding] = []
    passed: list[str] = []
    for check in checks:
        if not all(need in read for need in check.needs):
            continue
        found = list(check.judge(*(read[need] for need in check.needs)))
        findings += found
        if not found:
            passed.append(check.passes)
    return Examination(group=group, findings=tuple(findings), passed=tuple(passed))
