"""What the API answered since it started: plain numbers, read at a scrape."""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from schemas.search import SearchMode
from streams.distribution import Distribution
from streams.metrics import ANSWER_SECONDS

NO_ROUTE = "none"
"""The route of what nothing is at: any path may be asked for."""
OTHER_METHOD = "other"


@dataclass(slots=True)
class RequestCounters:
    """`requests` by route, method and status, `seconds` by route and method, searches by mode."""

    requests: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    seconds: dict[tuple[str, str], Distribution] = field(default_factory=dict)
    searches: dict[SearchMode, Distribution] = field(
        default_factory=lambda: {mode: Distribution(ANSWER_SECONDS) for mode in SearchMode}
    )
    failed_searches: Counter[SearchMode] = field(default_factory=lambda: Counter(dict.fromkeys(SearchMode, 0)))

    def count(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count an answer."""
        self.requests[route, method, str(status)] += 1
        if (route, method) not in self.seconds:
            self.seconds[route, method] = Distribution(ANSWER_SECONDS)
        self.seconds[route, method].observe(seconds)


def counted(counters: RequestCounters, *, clock: Callable[[], float] = time.perf_counter) -> Middleware:
    """A middleware that counts every answer; the outermost, so that it sees each as its caller does."""

    @web.middleware
    async def count(request: web.Request, handler: Handler) -> web.StreamResponse:
        started = clock()
        response = await handler(request)
        resource = request.match_info.route.resource
        counters.count(
            resource.canonical if resource else NO_ROUTE,
            request.method if request.method in hdrs.METH_ALL else OTHER_METHOD,
            response.status,
            clock() - started,
        )
        return response

    return count
