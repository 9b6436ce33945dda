"""The audit of a soak names each broken promise, and nothing when all is well."""

from dataclasses import replace

import pytest

from connectors.kafka import Watermarks
from ops.bench.audit import Evidence, judge_soak
from ops.reconcile import Difference, ReconcileReport
from schemas.record import Place

GOOD, AGAIN, POISON, COMPACTED = (Place(topic="t", partition=0, offset=offset) for offset in range(4))

SOUND = Evidence(
    records={GOOD: b"a", AGAIN: b"b", POISON: b"c"},
    marks={0: Watermarks(low=0, high=4)},
    committed={0: 4},
    trail=[(GOOD, "keep"), (AGAIN, "upsert_point"), (AGAIN, "redelivered_by_broker"), (POISON, "dead_letter")],
    dead_letters=[POISON, POISON],
    poison=[POISON, COMPACTED],
    violations=[],
    revivals=["a: 5 to 3"],
    reconciled=ReconcileReport(collection="c"),
    crashes=[],
)


def _drifted(**differences: Difference) -> ReconcileReport:
    return ReconcileReport(collection="c", **differences)


def test_a_sound_soak_has_no_findings() -> None:
    verdict = judge_soak(SOUND)
    assert verdict.findings == ()
    assert (verdict.offsets, verdict.compacted, verdict.repeats) == (4, 1, 1)
    assert verdict.outcomes["dead_letter"] == 1


@pytest.mark.parametrize(
    ("changed", "finding"),
    [
        ({"trail": SOUND.trail[1:]}, ("records that nobody handled", 1, ("t[0]@0",))),
        (
            {"dead_letters": [], "trail": [*SOUND.trail[:-1], (POISON, "keep")]},
            ("poison that is not in the dead-letter topic", 1, ("t[0]@2",)),
        ),
        ({"dead_letters": [POISON, GOOD]}, ("dead letters of records that are no poison", 1, ("t[0]@0",))),
        ({"committed": {0: 3}}, ("partitions not committed to their end", 1, ("partition 0: 3 of 4",))),
        ({"committed": {}}, ("partitions not committed to their end", 1, ("partition 0: 0 of 4",))),
        ({"violations": ["a: 5 to 4"]}, ("points whose version went down", 1, ("a: 5 to 4",))),
        ({"crashes": ["worker-1: Traceback"]}, ("unknown errors in a worker's log", 1, ("worker-1: Traceback",))),
        (
            {"reconciled": _drifted(missing=Difference(count=30, examples=["a"]))},
            ("rows missing in Qdrant", 30, ("a",)),
        ),
        ({"reconciled": _drifted(orphaned=Difference(count=1, examples=["g"]))}, ("points without a row", 1, ("g",))),
        (
            {"reconciled": _drifted(stale=Difference(count=1, examples=["s"]))},
            ("points that differ from their row", 1, ("s",)),
        ),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_promise_1_and_2_what_is_broken_is_named(changed: dict[str, object], finding: tuple[object, ...]) -> None:
    found = [(one.what, one.count, one.examples) for one in judge_soak(replace(SOUND, **changed)).findings]
    assert found == [finding]


def test_a_record_set_aside_in_the_trail_alone_is_lost() -> None:
    evidence = replace(SOUND, trail=[*SOUND.trail, (GOOD, "dead_letter")])
    assert [one.what for one in judge_soak(evidence).findings] == ["records set aside without a dead letter"]


def test_poison_that_was_compacted_away_after_it_was_set_aside_still_needs_its_dead_letter() -> None:
    evidence = replace(SOUND, trail=[*SOUND.trail, (COMPACTED, "dead_letter")])
    names = [one.what for one in judge_soak(evidence).findings]
    assert names == ["poison that is not in the dead-letter topic", "records set aside without a dead letter"]
