"""The dashboard's live part as server-sent events: one look at the pipeline serves everybody who listens."""

import asyncio
from collections.abc import Awaitable, Callable

import orjson
from aiohttp import hdrs, web

from ops.api.boundary import REQUEST_ID, REQUEST_ID_HEADER
from ops.api.dashboard_page import DashboardPage
from ops.api.dashboard_sampler import Sampler
from ops.api.problems import ProblemError

QUIET_SECONDS = 10.0
"""After so long without news a listener is sent a comment, which tells whether it is still there."""
AGAIN_MS = 1000
"""After so long a browser asks again when the stream breaks off."""
STUCK_SECONDS = 10.0
"""A listener that takes nothing for so long is let go of."""


async def send_events(
    request: web.Request, sampler: Sampler, page: DashboardPage, still_allowed: Callable[[], Awaitable[object]]
) -> web.StreamResponse:
    """Send until either side ends it, or `still_allowed` raises `ProblemError`, which is asked before each event.

    `history` is what the charts begin with and `sample` what they go on with, as arrays; `live` is a part of the page.
    """
    response = web.StreamResponse(
        headers={
            hdrs.CONTENT_TYPE: "text/event-stream",
            "X-Accel-Buffering": "no",  # a proxy that collects an answer would hold the events back
            REQUEST_ID_HEADER: request[REQUEST_ID],
        }
    )
    await response.prepare(request)
    looks, newest = 0, None
    try:
        await _send(response, b"retry: %d\n\n" % AGAIN_MS)
        while not sampler.closed:
            snapshot = await sampler.after(looks, within_seconds=QUIET_SECONDS)
            if snapshot is None:
                if not sampler.closed:
                    await _send(response, b": still here\n\n")
                continue
            looks = sampler.looks
            await still_allowed()
            if newest is None:
                await _send(response, _event("history", sampler.history.columns()))
            elif sampler.history.newest != newest:
                await _send(response, _event("sample", sampler.history.newest))
            newest = sampler.history.newest
            await _send(response, _event("live", page.live(snapshot, sampler.history)))
    except TimeoutError:
        # What it has not taken would have to be waited for at the end, too.
        if request.transport is not None:
            request.transport.abort()
    except (ConnectionError, ProblemError):
        pass  # no answer can follow what was sent; a browser asks again, and is then told why
    return response


async def _send(response: web.StreamResponse, event: bytes) -> None:
    async with asyncio.timeout(STUCK_SECONDS):
        await response.write(event)


def _event(name: str, data: object) -> bytes:
    """JSON has no line break in it, which would end an event's line, whatever the texts say."""
    return b"event: %s\ndata: %s\n\n" % (name.encode(), orjson.dumps(data))
