"""Asks each worker's own page how it stands."""

import asyncio
import socket
from collections.abc import Iterable, Sequence
from itertools import chain
from urllib.parse import urlsplit

import aiohttp
from pydantic import BaseModel, ValidationError

from ops.status.report import WorkerStatus, WorkStatus


class _Held(BaseModel):
    part: str
    seconds: float


class _Page(BaseModel):
    """What is read of the page; the rest of it is for people."""

    worker: str
    partitions: list[int]
    uptime_seconds: float
    unready_because: str | None
    hint: str | None = None
    held: _Held | None = None
    table_entries: int
    records: int
    embeddings_made: int
    embeddings_avoided: int
    actions: dict[str, int]


async def ask_workers(urls: Iterable[str], *, within_seconds: float) -> list[WorkerStatus]:
    """Ask all of them at once, each for `within_seconds` at most; one that cannot be asked says why. Raises nothing.

    A name with several addresses, as replicas of a container have one, stands for a worker at each of them.
    """
    timeout = aiohttp.ClientTimeout(total=within_seconds)
    pages = chain(*await asyncio.gather(*(_pages(url, within_seconds) for url in urls)))
    async with aiohttp.ClientSession(timeout=timeout) as session:
        return await asyncio.gather(*(_ask(session, page, within_seconds) for page in pages))


def add_up(workers: Sequence[WorkerStatus]) -> WorkStatus | None:
    """What those that answered did, together; None when none did."""
    answered = [worker for worker in workers if worker.error is None]
    if not answered:
        return None
    actions: dict[str, int] = {}
    for worker in answered:
        for action, count in (worker.actions or {}).items():
            actions[action] = actions.get(action, 0) + count
    return WorkStatus(
        workers=len(answered),
        table_entries=sum(worker.table_entries or 0 for worker in answered),
        records=sum(worker.records or 0 for worker in answered),
        embeddings_made=sum(worker.embeddings_made or 0 for worker in answered),
        embeddings_avoided=sum(worker.embeddings_avoided or 0 for worker in answered),
        actions=actions,
    )


async def _pages(url: str, within_seconds: float) -> list[str]:
    """The page at each address of the host; the page itself where there is one address, or none to be found."""
    parts = urlsplit(url)
    if parts.scheme != "http" or parts.hostname is None:
        return [url]  # a certificate is for the name
    try:
        async with asyncio.timeout(within_seconds):
            found = await asyncio.get_running_loop().getaddrinfo(
                parts.hostname, parts.port or 80, family=socket.AF_INET, type=socket.SOCK_STREAM
            )
    except (OSError, TimeoutError, UnicodeError):
        return [url]  # asking it will say why
    addresses = sorted({str(address[0]) for *_, address in found})
    if len(addresses) == 1:
        return [url]
    return [f"http://{address}:{parts.port or 80}{parts.path}" for address in addresses]


async def _ask(session: aiohttp.ClientSession, url: str, within_seconds: float) -> WorkerStatus:
    try:
        async with session.get(f"{url.rstrip('/')}/") as response:
            response.raise_for_status()
            page = _Page.model_validate_json(await response.read())
    except TimeoutError:
        return WorkerStatus(url=url, error=f"no answer within {within_seconds:g} s")
    except aiohttp.ClientConnectorError as error:
        return WorkerStatus(url=url, error=f"cannot connect: {error.strerror or error.os_error}")
    except aiohttp.ClientResponseError as error:
        return WorkerStatus(url=url, error=f"answers with status {error.status}")
    except aiohttp.ClientError as error:
        return WorkerStatus(url=url, error=f"breaks off: {error or type(error).__name__}")
    except ValidationError:
        return WorkerStatus(url=url, error="what answers is no worker of this version")
    return WorkerStatus(
        url=url,
        name=page.worker,
        partitions=page.partitions,
        uptime_seconds=page.uptime_seconds,
        unready_because=page.unready_because,
        hint=page.hint,
        held_part=page.held.part if page.held else None,
        held_seconds=page.held.seconds if page.held else None,
        table_entries=page.table_entries,
        records=page.records,
        embeddings_made=page.embeddings_made,
        embeddings_avoided=page.embeddings_avoided,
        actions=page.actions,
    )
