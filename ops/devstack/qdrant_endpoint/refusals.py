"""Why a request is refused, with the status and the words a Qdrant server would use."""

from collections.abc import Iterator
from contextlib import contextmanager

# Edge raises plain `Exception`; these openings are the engine's own words for a request that can never be right.
_WRONG_INPUT = (
    "Vector dimension error",
    "Not existing vector name error",
    "Payload type does not match",
    "Unable to infer type",
    "Validation failed",
    "Wrong usage of",
    "No range index for",
    "No appropriate index",
    "Expected ",
    "The expression ",
)
_MISSING_POINT = "No point with id"
_CLOSED = "Service runtime error: Shard is not initialized"


class Refusal(Exception):
    """A request that was not carried out; `status` is HTTP's, `str(refusal)` what the client reads."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def wrong_input(description: str) -> Refusal:
    """400: this request can never be right."""
    return Refusal(400, f"Wrong input: {description}")


def already_exists(description: str) -> Refusal:
    """409: the name is taken."""
    return Refusal(409, f"Wrong input: {description}")


def not_found(description: str) -> Refusal:
    """404: what the request speaks of is not there."""
    return Refusal(404, f"Not found: {description}")


def collection_not_found(name: str) -> Refusal:
    """404, in the words that clients look for."""
    return not_found(f"Collection `{name}` doesn't exist!")


def not_served(what: str) -> Refusal:
    """501: a Qdrant server would do it, this endpoint does not."""
    return Refusal(
        501, f"Not implemented: {what} is not served by Lockstep's Qdrant endpoint; use a Qdrant server for it"
    )


@contextmanager
def engine_refusals(collection: str) -> Iterator[None]:
    """Turn what the engine raises into a refusal; wrap engine calls only.

    What is not known to be the request's fault is a 500, so that a client holds its write and tries again.
    """
    try:
        yield
    except Exception as error:
        message = str(error)
        if message.startswith(_MISSING_POINT):
            raise not_found(f"{message} found") from error
        if message.startswith(_CLOSED):
            raise collection_not_found(collection) from error
        if isinstance(error, ValueError | OverflowError) or message.startswith(_WRONG_INPUT):
            raise wrong_input(message) from error
        raise Refusal(500, f"Service internal error: {message}") from error
