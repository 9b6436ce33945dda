"""The one line of a Java trace that says why."""

import pytest

from connectors.debezium.failures import failure_hint, failure_reason

TRACES = {
    "the deepest cause": (
        "org.apache.kafka.connect.errors.ConnectException: An exception occurred in the change event producer. This "
        "connector will be stopped.\n\tat a.B.c(D.java:1)\nCaused by: org.apache.kafka.connect.errors."
        "ConnectException: Publication autocreation is disabled, please create one and restart the connector.\n",
        "Publication autocreation is disabled, please create one and restart the connector",
        "roles.sql",
    ),
    "a cause that repeats its class": (
        "org.apache.kafka.connect.errors.ConnectException: io.debezium.DebeziumException: The connector is trying to "
        "read change stream starting at X, but this is no longer available on the server.\n\tat a.B.c(D.java:1)\n",
        "The connector is trying to read change stream starting at X, but this is no longer available on the server",
        "slot is lost",
    ),
    "a database error": (
        "io.debezium.DebeziumException: Error while trying to get the slot\nCaused by: org.postgresql.util."
        "PSQLException: ERROR: permission denied for table products\n\tat a.B.c(D.java:1)\n\t... 9 more\n",
        "ERROR: permission denied for table products",
        "owner",
    ),
    "a cause under a cause": (
        "io.debezium.DebeziumException: Creation of replication slot failed\nCaused by: org.postgresql.util."
        "PSQLException: ERROR: all replication slots are in use\n",
        "ERROR: all replication slots are in use",
        "max_replication_slots",
    ),
    "a frame that names another cause": (
        'org.postgresql.util.PSQLException: FATAL: database "shop" does not exist\n'
        "\tat io.debezium.connector.postgresql.X.initPublication(X.java:1)\n",
        'FATAL: database "shop" does not exist',
        "LOCKSTEP_POSTGRES_DSN",
    ),
    "a cause without words": (
        "java.lang.IllegalStateException: no slot\nCaused by: java.lang.NullPointerException\n",
        "no slot",
        None,
    ),
    "no trace at all": ("", "no reason given", None),
    "no Java": ("it broke\nreally", "it broke", None),
}


@pytest.mark.parametrize(("trace", "reason", "hint"), TRACES.values(), ids=TRACES)
def test_the_reason_is_the_line_that_says_something(trace: str, reason: str, hint: str | None) -> None:
    assert failure_reason(trace) == reason
    found = failure_hint(trace)
    assert found is None if hint is None else hint in (found or "")
