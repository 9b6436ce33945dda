"""Which faults a soak injects, and when: pure, drawn from the seed."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from random import Random


class FaultKind(StrEnum):
    """What is broken."""

    WORKER_KILLED = "worker killed"
    WORKER_STOPPED = "worker stopped"
    WORKER_PAUSED = "worker paused past its session"
    WORKER_ADDED = "worker added"
    WORKER_REMOVED = "worker removed"
    BROKER_STOPPED = "broker stopped"
    BROKER_KILLED = "broker killed"
    CONNECT_STOPPED = "connect stopped"
    CONNECT_KILLED = "connect killed"
    POSTGRES_STOPPED = "postgres stopped"
    POSTGRES_KILLED = "postgres killed"
    QDRANT_STOPPED = "qdrant stopped"
    QDRANT_KILLED = "qdrant killed"
    QDRANT_ERRORS = "qdrant answers 500"
    QDRANT_BUSY = "qdrant answers 429"
    QDRANT_SILENT = "qdrant does not answer"
    QDRANT_SLOW = "qdrant is slow"
    QDRANT_DROPS = "qdrant drops the connection after the write"
    QDRANT_REFUSES = "qdrant refuses everything"
    POISON = "poison records"
    SNAPSHOT = "snapshot again while changes flow"


WORKER_FAULTS = (
    FaultKind.WORKER_KILLED,
    FaultKind.WORKER_PAUSED,
    FaultKind.WORKER_ADDED,
    FaultKind.WORKER_STOPPED,
    FaultKind.WORKER_REMOVED,
)
SERVER_FAULTS = (
    FaultKind.BROKER_STOPPED,
    FaultKind.BROKER_KILLED,
    FaultKind.CONNECT_STOPPED,
    FaultKind.CONNECT_KILLED,
    FaultKind.POSTGRES_STOPPED,
    FaultKind.POSTGRES_KILLED,
    FaultKind.QDRANT_STOPPED,
    FaultKind.QDRANT_KILLED,
)
TRAFFIC_FAULTS = (
    FaultKind.POISON,
    FaultKind.QDRANT_ERRORS,
    FaultKind.QDRANT_BUSY,
    FaultKind.QDRANT_SILENT,
    FaultKind.POISON,
    FaultKind.SNAPSHOT,
    FaultKind.QDRANT_SLOW,
    FaultKind.QDRANT_DROPS,
    FaultKind.POISON,
    FaultKind.QDRANT_REFUSES,
)
LANES = (WORKER_FAULTS, SERVER_FAULTS, TRAFFIC_FAULTS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Wait, break something, leave it so, mend it. `choice` in [0, 1) draws its target."""

    kind: FaultKind
    wait_seconds: float
    lasts_seconds: float
    choice: float


def plan_faults(seed: int, lane: int) -> Iterator[Fault]:
    """The endless faults of one lane: one after the other within it, beside those of the other lanes.

    Each kind comes once before any comes again.
    """
    random = Random(f"{seed}/lane {lane}")
    while True:
        deck = list(LANES[lane])
        random.shuffle(deck)
        for kind in deck:
            yield Fault(
                kind=kind,
                wait_seconds=random.uniform(1.0, 4.0),
                lasts_seconds=random.uniform(1.0, 7.0),
                choice=random.random(),
            )
