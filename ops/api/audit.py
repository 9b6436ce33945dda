"""The audit trail: one line for each write and each operation that was asked for, also for those that were refused."""

import logging

from ops.api.operation import Operation, Scope

logger = logging.getLogger("lockstep.audit")
# Whatever level the rest of the log has: a trail with holes is none.
logger.setLevel(logging.INFO)

AUDITED = frozenset((Scope.WRITE, Scope.OPERATE))


def record(
    operation: Operation, *, target: str, status: int, caller: str | None, remote: str | None, request_id: str
) -> None:
    """Write down who asked for what, and how it was answered; nothing of a row but its key, which `target` ends with.

    `target` is a path as it was sent or given, percent-encoded; `caller` None is somebody unknown at the address
    `remote`. An operation that only reads is left out.
    """
    if operation.scope not in AUDITED:
        return
    logger.info(
        "operation audited",
        extra={
            "action": "audit",
            "operation": operation.name,
            "target": target,
            "caller": caller,
            "remote": remote,
            "status": status,
            "request_id": request_id,
        },
    )
