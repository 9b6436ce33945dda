"""Compares what a point says of itself with what the topic says of its row; pure."""

from collections.abc import Mapping
from typing import Any

from schemas.change import Operation
from schemas.document import PROVENANCE, Document
from schemas.record import OFFSET_BITS

_DATED = frozenset(o.value for o in Operation if o not in (Operation.SNAPSHOT_READ, Operation.TOMBSTONE))


def is_right(payload: Mapping[str, Any], document: Document) -> bool:
    """Whether writing the document would change nothing but the time of writing."""
    return _comparable(payload) == _comparable(document.payload())


def newer_than(payload: Mapping[str, Any], document: Document) -> bool:
    """Whether the point has a later change than the document's.

    By its version; or, where Debezium delivered an old change again, by the LSN, as in `streams.planner.outdated`.
    """
    stored, ours = payload.get(PROVENANCE), document.provenance
    if not isinstance(stored, dict) or not isinstance(stored.get("version"), int):
        return False
    if stored["version"] > ours.version:
        return True
    lsn = stored.get("lsn")
    if ours.lsn is None or lsn is None or not {stored.get("operation"), ours.operation} <= _DATED:
        return False
    same_epoch = stored["version"] >> OFFSET_BITS == ours.version >> OFFSET_BITS
    # Times are texts of one form, which sort as they follow each other.
    return bool(same_epoch and ours.lsn < lsn and (ours.source_time or "") <= (stored.get("source_time") or ""))


def _comparable(payload: Mapping[str, Any]) -> dict[str, Any]:
    # A double may read back one unit in the last place off: the price is compared by its text.
    rest = {name: value for name, value in payload.items() if name not in (PROVENANCE, "price")}
    provenance = payload.get(PROVENANCE) or {}
    return rest | {PROVENANCE: {name: value for name, value in provenance.items() if name != "indexed_at"}}
