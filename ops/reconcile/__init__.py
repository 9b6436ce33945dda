"""Compares Postgres with Qdrant and repairs what differs; how it is started lives in `ops.commands` and `ops.api`."""

from ops.reconcile.comparison import reconcile
from ops.reconcile.report import Difference, ReconcileReport

__all__ = ["Difference", "ReconcileReport", "reconcile"]
