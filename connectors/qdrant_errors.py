"""Qdrant's refusals and failures, in our words."""

from collections.abc import Iterator
from contextlib import contextmanager

from qdrant_client.common.client_exceptions import QdrantException
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from schemas.errors import ErrorKind, VectorStoreError


@contextmanager
def translated(operation: str, subject: str) -> Iterator[None]:
    """Turn the client's errors into `VectorStoreError` with the kind that `streams.retry_policy` needs."""
    what = f"cannot {operation} {subject}"
    try:
        yield
    except UnexpectedResponse as error:
        raise _refusal(what, error.status_code or 0, error.content) from error
    except (ResponseHandlingException, QdrantException, OSError, ValueError, AssertionError) as error:
        cause = error.source if isinstance(error, ResponseHandlingException) else error
        # The client asserts and parses what it gets: an answer of a proxy looks like this.
        if isinstance(cause, ValueError | AssertionError):
            raise VectorStoreError(f"{what}: qdrant gave an answer that is not its own") from error
        reason = str(cause) or type(cause).__name__
        raise VectorStoreError(
            f"{what}: {reason[:200]}", hint="check LOCKSTEP_QDRANT_URL, and that Qdrant runs (lockstep up)"
        ) from error


@contextmanager
def reading(operation: str, subject: str) -> Iterator[None]:
    """As `translated`, for reads: no record is to blame for one, so that a refusal is an outage."""
    try:
        with translated(operation, subject):
            yield
    except VectorStoreError as error:
        if error.kind is not ErrorKind.PERMANENT:
            raise
        raise VectorStoreError(str(error), kind=ErrorKind.OUTAGE, hint=error.hint) from error


def _refusal(what: str, status: int, content: bytes) -> VectorStoreError:
    message = f"{what}: qdrant answered {status}: {content.decode(errors='replace')[:300]}"
    match status:
        case 401 | 403:
            hint = "set LOCKSTEP_QDRANT_API_KEY to a key that may write"
            return VectorStoreError(message, kind=ErrorKind.OUTAGE, hint=hint)
        case 404:
            return VectorStoreError(message, kind=ErrorKind.OUTAGE, hint="lockstep collections create")
        case _ if status in (408, 425, 429) or status >= 500:
            return VectorStoreError(message)
        case _:
            return VectorStoreError(message, kind=ErrorKind.PERMANENT)
