"""Judges a soak by what it left behind: pure, from the evidence that was gathered."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from connectors.kafka import Watermarks
from ops.bench.findings import Finding, finding
from ops.reconcile import ReconcileReport
from schemas.record import Place

DEAD_LETTER = "dead_letter"


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What stands in the topics and in the workers' trail after the pipeline has drained.

    `records` are the places of the source topic's records that compaction has left, each with its key; `poison` and
    `dead_letters` are places of the source topic too.
    """

    records: Mapping[Place, bytes | None]
    marks: Mapping[int, Watermarks]
    committed: Mapping[int, int]
    trail: Sequence[tuple[Place, str]]
    dead_letters: Sequence[Place]
    poison: Collection[Place]
    violations: Sequence[str]
    revivals: Sequence[str]
    reconciled: ReconcileReport
    crashes: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The figures of a soak and what is wrong, nothing if all is well."""

    offsets: int
    compacted: int
    repeats: int
    outcomes: Mapping[str, int]
    findings: tuple[Finding, ...]


def judge_soak(evidence: Evidence) -> Verdict:
    """Account for every record, and compare what must be equal.

    A record that compaction removed before a worker read it needs no line in the trail: a later one of its key stands.
    """
    outcomes: dict[Place, set[str]] = {}
    for place, outcome in evidence.trail:
        outcomes.setdefault(place, set()).add(outcome)
    letters = set(evidence.dead_letters)
    dead = {place for place, seen in outcomes.items() if DEAD_LETTER in seen}
    poison = {place for place in evidence.poison if place in evidence.records or place in outcomes}
    reconciled = evidence.reconciled
    found = [
        finding("records that nobody handled", evidence.records.keys() - outcomes.keys()),
        finding("poison that is not in the dead-letter topic", poison - letters),
        finding("dead letters of records that are no poison", letters - set(evidence.poison)),
        finding("records set aside without a dead letter", dead - letters),
        finding("partitions not committed to their end", _uncommitted(evidence)),
        finding("points whose version went down", evidence.violations),
        finding("rows missing in Qdrant", reconciled.missing.examples, reconciled.missing.count),
        finding("points without a row", reconciled.orphaned.examples, reconciled.orphaned.count),
        finding("points that differ from their row", reconciled.stale.examples, reconciled.stale.count),
        finding("unknown errors in a worker's log", evidence.crashes),
    ]
    offsets = sum(marks.high for marks in evidence.marks.values())
    return Verdict(
        offsets=offsets,
        compacted=offsets - len(evidence.records),
        repeats=len(evidence.trail) - len(outcomes),
        outcomes=Counter(outcome for _, outcome in evidence.trail),
        findings=tuple(one for one in found if one.count),
    )


def _uncommitted(evidence: Evidence) -> list[str]:
    return [
        f"partition {number}: {evidence.committed.get(number, 0)} of {marks.high}"
        for number, marks in sorted(evidence.marks.items())
        if evidence.committed.get(number, 0) != marks.high
    ]
