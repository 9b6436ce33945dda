"""A table of breaks: what stands in the place of the healthy values, and what a check must say of it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from ops.doctor.finding import Check, Severity
from tests.unit.ops.doctor.healthy import READ

PROBLEM, WARNING = Severity.PROBLEM, Severity.WARNING


@dataclass(frozen=True)
class Break:
    """`says` and `mend` are parts of the finding's; `broken` takes the place of the healthy values of its types."""

    judge: Any
    broken: tuple[Any, ...]
    severity: Severity
    says: str
    mend: str

    def assert_found(self, checks: Iterable[Check]) -> None:
        """The check says it, as severely as it is, with its remedy, and says nothing else."""
        [check] = [check for check in checks if check.judge is self.judge]
        read = READ | {type(value): value for value in self.broken}
        found = list(check.judge(*(read[need] for need in check.needs)))
        assert [(finding.severity, self.says in finding.says) for finding in found] == [(self.severity, True)], found
        assert self.mend in (found[0].mend or ""), found[0]
        assert not found[0].says.endswith(".")


def parameters(breaks: Sequence[Break]) -> list[Any]:
    """For `pytest.mark.parametrize`, named by what is said."""
    return [pytest.param(case, id=case.says) for case in breaks]


def never_broken(breaks: Sequence[Break], checks: Iterable[Check]) -> list[str]:
    """Checks that no break makes fail."""
    return [check.passes for check in checks if all(case.judge is not check.judge for case in breaks)]
