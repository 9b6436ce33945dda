"""Who may call the API: by a token with a scope, or from this machine while no tokens exist."""

import ipaddress
import math
import time
from collections.abc import Callable
from datetime import UTC, datetime

from aiohttp import hdrs, web

from ops.api.boundary import CALLER
from ops.api.known_tokens import KnownTokens
from ops.api.operation import LOCAL_CALLER, Scope
from ops.api.problems import ProblemError, ProblemType
from ops.api.rate_limit import RateLimit
from ops.tokens import Token

BURST_SECONDS = 2.0
"""So much of a token's rate may come at once after a pause."""
FAILURES_PER_SECOND = 1.0
FAILURES_AT_ONCE = 20

_CHALLENGE = 'Bearer realm="lockstep"'


class Access:
    """Authorizes requests; `rate_per_second` is for each token.

    Failures are counted for each address, so that a stranger costs little and cannot fill the log. They do not hinder a
    token that is good, which may come from the same address: no rate is needed to protect 256 random bits.
    """

    def __init__(
        self,
        tokens: KnownTokens,
        *,
        rate_per_second: float,
        monotonic: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._tokens = tokens
        self._rate = RateLimit(rate_per_second, burst=rate_per_second * BURST_SECONDS)
        self._failures = RateLimit(FAILURES_PER_SECOND, burst=FAILURES_AT_ONCE)
        self._monotonic = monotonic
        self._now = now

    @property
    def unlocked(self) -> bool:
        """Whether no token exists, so that every caller on this machine may do everything, and nobody else anything."""
        return not self._tokens.exist

    async def authorize(self, request: web.Request, scope: Scope) -> str:
        """The caller's name: its token's, or `LOCAL_CALLER`.

        Raises:
            ProblemError: No token or no good one (401), one without the scope (403), too many requests (429).
        """
        if self.unlocked:
            peer = _peer(request)
            if peer is not None and peer.is_loopback:
                return LOCAL_CALLER
            raise self._failure(request, "no token exists yet, so only callers on the server's machine are answered")
        token = self._token(request)
        request[CALLER] = token.name  # who is refused from here on is known to the log
        if wait := self._rate.take(token.id, self._monotonic()):
            raise _too_many(wait, "this token sends more requests than it may")
        if scope not in token.scopes:
            raise ProblemError(
                ProblemType.WRONG_SCOPE,
                f"the token {token.name} does not have the scope {scope}",
                headers={hdrs.WWW_AUTHENTICATE: f'{_CHALLENGE}, error="insufficient_scope", scope="{scope}"'},
            )
        return token.name

    def _token(self, request: web.Request) -> Token:
        given = request.headers.getall(hdrs.AUTHORIZATION, [])
        scheme, _, text = given[0].partition(" ") if len(given) == 1 else ("", "", "")
        if scheme.lower() != "bearer":
            raise self._failure(request, "send one header `Authorization: Bearer <token>`")
        token = self._tokens.find(text.strip(" "))
        if token is None:
            raise self._failure(request, "the token is none of this server's", error="invalid_token")
        if token.expired(self._now()):
            raise self._failure(request, f"the token {token.name} has expired", error="invalid_token")
        return token

    def _failure(self, request: web.Request, detail: str, *, error: str | None = None) -> ProblemError:
        if wait := self._failures.take(_household(_peer(request)), self._monotonic()):
            return _too_many(wait, "too many requests without a good token came from this address")
        challenge = f'{_CHALLENGE}, error="{error}"' if error else _CHALLENGE
        return ProblemError(ProblemType.NO_TOKEN, detail, headers={hdrs.WWW_AUTHENTICATE: challenge})


_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def _too_many(wait_seconds: float, detail: str) -> ProblemError:
    headers: dict[str, str] = {hdrs.RETRY_AFTER: str(math.ceil(wait_seconds))}
    return ProblemError(ProblemType.TOO_MANY_REQUESTS, detail, headers=headers)


def _peer(request: web.Request) -> _Address | None:
    """The address at the other end of the connection; no header can claim another."""
    name = request.transport.get_extra_info("peername") if request.transport else None
    try:
        address = ipaddress.ip_address(name[0]) if name else None
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        return address.ipv4_mapped
    return address


def _household(peer: _Address | None) -> str:
    """Whose failures are counted together: an address, or the 64 bits of IPv6 that one customer is given."""
    if isinstance(peer, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((int(peer), 64), strict=False))
    return str(peer)
