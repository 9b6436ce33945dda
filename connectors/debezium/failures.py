"""Why a connector failed: the one line of a Java trace that says it, and what to do about it."""

import re

_HINTS: tuple[tuple[str, str], ...] = (
    (
        r"no longer available on the server|replication slot .* does not exist|slot .* (is )?invalidated|"
        r"can no longer (get|access)",
        "`lockstep connector restart`, then `lockstep reconcile`: the slot is lost, and with it deletes since then",
    ),
    (r"publication", "apply connectors/debezium/roles.sql, then `lockstep connector restart`"),
    (
        r"password authentication failed|no password was provided|empty password",
        "give Connect the debezium role's password as DEBEZIUM_DB_PASSWORD, then restart Connect",
    ),
    (r"role .* does not exist", "apply connectors/debezium/roles.sql, then `lockstep connector apply`"),
    (
        r"permission denied|must be (superuser|owner)|insufficient privilege",
        "apply connectors/debezium/roles.sql as the table's owner, then `lockstep connector restart`",
    ),
    (r"database .* does not exist", "check the database in LOCKSTEP_POSTGRES_DSN"),
    (r"wal_level", "set wal_level=logical in postgresql.conf and restart Postgres"),
    (r"all replication slots are in use|max_replication_slots", "raise max_replication_slots, or drop an unused slot"),
    (
        r"replication slot .* is active",
        "stop the other connector that uses the slot, then `lockstep connector restart`",
    ),
    (
        r"connection .*refused|connection attempt failed|unknownhost|connect timed out",
        "set LOCKSTEP_CONNECT_POSTGRES_HOST and LOCKSTEP_CONNECT_POSTGRES_PORT to where Connect reaches Postgres",
    ),
    (r"recordtoolarge|larger than .*max\.request\.size", "raise max.message.bytes with `lockstep topics apply`"),
    (r"unknown_topic_or_partition|not present in metadata", "run `lockstep topics apply`"),
)

# Connect and Debezium wrap the cause in sentences that say nothing.
_WRAPPERS = re.compile(
    r"exiting workersourcetask|an exception occurred in the change event producer|"
    r"tolerance exceeded|unrecoverable exception|error while trying to|error configuring an instance",
    re.IGNORECASE,
)
_EXCEPTION = re.compile(r"^(?:Caused by: )?(?:[\w$]+\.)+[A-Z][\w$]*(?:: (?P<text>.*))?$")


def failure_reason(trace: str) -> str:
    """The deepest cause that has words; else the trace's first line."""
    sentences = [
        match["text"].strip()
        for line in trace.splitlines()
        if (match := _EXCEPTION.match(line.strip())) and match["text"] and not _WRAPPERS.search(match["text"])
    ]
    lines = trace.strip().splitlines()
    reason = sentences[-1] if sentences else (lines[0] if lines else "no reason given")
    # A cause that is wrapped repeats its own class name in front.
    return re.sub(r"^(?:[\w$]+\.)+[A-Z][\w$]*: ", "", reason).rstrip(" .")


def failure_hint(trace: str) -> str | None:
    """What to do about a known cause, else None."""
    # A method's name in a frame says where it failed, not why.
    sentences = "\n".join(line for line in trace.splitlines() if not line.lstrip().startswith("at "))
    for pattern, hint in _HINTS:
        if re.search(pattern, sentences, re.IGNORECASE):
            return hint
    return None
