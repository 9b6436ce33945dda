"""Turns what asyncpg raises into `SourceError`, with how far the trouble reaches."""

from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg

from schemas.errors import ErrorKind, SourceError

UNREACHABLE_HINT = "start the stack with `lockstep up`, or set LOCKSTEP_POSTGRES_DSN"

_PASSING: tuple[type[BaseException], ...] = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,  # shutting down, starting up, terminated by an administrator
    asyncpg.TransactionRollbackError,  # deadlock, serialization failure
    asyncpg.LockNotAvailableError,
    asyncpg.TooManyConnectionsError,
    asyncpg.OutOfMemoryError,
    asyncpg.InvalidCachedStatementError,  # the table's columns changed under a prepared statement
    asyncpg.OutdatedSchemaCacheError,
    asyncpg.InterfaceError,  # the connection closed under us, or the pool did
)

_OUTAGES: tuple[tuple[type[BaseException], str], ...] = (
    (asyncpg.ClientConfigurationError, "write LOCKSTEP_POSTGRES_DSN as postgresql://user:password@host:port/database"),
    (asyncpg.InvalidPasswordError, "check user and password in LOCKSTEP_POSTGRES_DSN"),
    (asyncpg.InvalidAuthorizationSpecificationError, "check user and pg_hba.conf, and LOCKSTEP_POSTGRES_DSN"),
    (asyncpg.InvalidCatalogNameError, "create the database, or name another in LOCKSTEP_POSTGRES_DSN"),
    (asyncpg.UndefinedTableError, "apply ops/demo/catalogue.sql and connectors/debezium/roles.sql"),
    (asyncpg.UndefinedColumnError, "compare the table with docs/catalogue.md"),
    (asyncpg.InsufficientPrivilegeError, "apply connectors/debezium/roles.sql as the table's owner"),
    (asyncpg.ReadOnlySQLTransactionError, "write to the primary, not to a standby"),
    (asyncpg.DiskFullError, "free disk space on the database server"),
)
"""Trouble that every row would meet, and what to do about it."""


@contextmanager
def source_errors(operation: str, hint: str | None = None) -> Iterator[None]:
    """Raise `SourceError: cannot <operation>: <reason>` for whatever Postgres or the way to it raises.

    Transient when the connection is the trouble, an outage when every row would fail alike, permanent otherwise; the
    `hint` is for the last, the others have their own.
    """
    try:
        yield
    except (*_PASSING, asyncpg.PostgresError, asyncpg.InternalClientError) as error:
        raise _translate(operation, error, hint) from error


def _translate(operation: str, error: Exception, permanent_hint: str | None) -> SourceError:
    message = f"cannot {operation}: {_reason(error)}"
    for outage, hint in _OUTAGES:
        if isinstance(error, outage):
            return SourceError(message, kind=ErrorKind.OUTAGE, hint=hint)
    if isinstance(error, _PASSING):
        unreachable = isinstance(error, OSError | TimeoutError | asyncpg.PostgresConnectionError)
        return SourceError(message, kind=ErrorKind.TRANSIENT, hint=UNREACHABLE_HINT if unreachable else None)
    return SourceError(message, kind=ErrorKind.PERMANENT, hint=permanent_hint)


def _reason(error: Exception) -> str:
    """The first line, without the row's content that Postgres adds as detail."""
    text = str(error).strip().splitlines()
    return text[0].rstrip(".") if text else ("timed out" if isinstance(error, TimeoutError) else type(error).__name__)
