"""The tokens as they stand in their file now, while `lockstep tokens` changes it under a running server."""

import hmac
import logging
from pathlib import Path

from ops.tokens import Token, digest, read_tokens, split_token
from schemas.errors import SettingsError

logger = logging.getLogger(__name__)

_NOBODY = digest("")

_Stamp = tuple[int, int, int, int]


class KnownTokens:
    """Follows the file: a token that is created or revoked counts from the next request on.

    A file that has become unreadable, or is gone, leaves the tokens as they were: an accident with a file must neither
    lock everybody out nor open the door. Whoever writes the first one means to close it, readable or not.

    Raises:
        SettingsError: At the beginning, when there is a file that cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp = self._stamp_now()
        found = read_tokens(path)
        self._tokens = _by_id(found or ())
        self._exist = found is not None

    @property
    def exist(self) -> bool:
        """Whether there is, or was, a file. When its last token is revoked, nobody may call: that opens nothing."""
        self._follow()
        return self._exist

    def find(self, text: str) -> Token | None:
        """The token that a caller shows, expired or not; None when it is none of ours.

        It is looked up by its id, which is no secret; the secret's hash is compared in constant time, and with
        something also when there is no such id.
        """
        self._follow()
        identity, secret = split_token(text) or ("", "")
        token = self._tokens.get(identity)
        same = hmac.compare_digest(digest(secret), token.sha256 if token else _NOBODY)
        return token if same else None

    def _follow(self) -> None:
        stamp = self._stamp_now()
        if stamp == self._stamp:
            return
        # First: a file that cannot be read is told of once, and read again when it changes again.
        self._stamp = stamp
        try:
            found = read_tokens(self._path)
        except SettingsError as error:
            self._exist = True
            self._keep(str(error), error.hint)
            return
        if found is None:
            if self._exist:
                self._keep(f"{self._path} is gone", "restart the server if that was meant")
            return
        self._tokens = _by_id(found)
        self._exist = True
        logger.info("tokens read", extra={"action": "tokens_read", "tokens": len(found)})

    def _keep(self, reason: str, hint: str | None) -> None:
        logger.error("tokens kept as they were", extra={"action": "tokens_kept", "reason": reason, "hint": hint})

    def _stamp_now(self) -> _Stamp | None:
        """What differs once the file was written anew; None: there is none, or it cannot be looked at."""
        try:
            status = self._path.stat()
        except OSError:
            return None
        # A file that replaces another may get the number of one before it; its time of change is new all the same.
        return status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_size


def _by_id(tokens: tuple[Token, ...]) -> dict[str, Token]:
    return {token.id: token for token in tokens}
