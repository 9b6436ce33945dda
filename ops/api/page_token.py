"""Page tokens: where the next page begins, as a text that fits only the query it was made for."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import blake2b

from ops.api.problems import ProblemError, ProblemType

MAX_LENGTH = 4096
"""A longer token is none of ours."""

_CHECK_BYTES = 8


def page_token(query: str, position: str) -> str:
    """A token of the query: url-safe, opaque to the caller, and no secret, since it opens nothing."""
    place = position.encode()
    return urlsafe_b64encode(_check(query, place) + place).decode().rstrip("=")


def position_of(query: str, token: str) -> str:
    """The position in a token.

    Raises:
        ProblemError: It is damaged, or of another query.
    """
    try:
        data = urlsafe_b64decode((token + "=" * (-len(token) % 4)).encode("ascii"))
        position = data[_CHECK_BYTES:].decode()
    except ValueError as error:  # binascii.Error and UnicodeError are ValueErrors
        raise _unfit() from error
    # Written anew, because a text of base64 has several spellings. A NUL is in no text that Postgres stores.
    if page_token(query, position) != token or "\0" in position:
        raise _unfit()
    return position


def _check(query: str, place: bytes) -> bytes:
    return blake2b(place, digest_size=_CHECK_BYTES, key=blake2b(query.encode(), digest_size=32).digest()).digest()


def _unfit() -> ProblemError:
    return ProblemError(ProblemType.INVALID_CURSOR, "this page token is damaged, or belongs to another query")
