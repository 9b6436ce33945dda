"""The pipeline's status, made up."""

from datetime import UTC, datetime

from ops.status.report import PARTS, SyncStatus

NOTHING_KNOWN = SyncStatus.model_validate(
    dict.fromkeys(PARTS)
    | {
        "at": datetime(2026, 11, 20, 10, tzinfo=UTC),
        "last_reconcile": None,
        "unavailable": dict.fromkeys(PARTS, "does not answer"),
    }
)
"""Every part is silent."""
