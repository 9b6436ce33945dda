"""Reads a catalogue and its collection, in a process of its own: as reconcile does, or bare.

    python -m ops.bench.look reconcile | bare

prints seconds and processor seconds from when everything is imported, and the differences that were found, as JSON.
"""

import asyncio
import sys
import time
from collections.abc import Sequence
from typing import Any

from connectors.qdrant import open_client
from connectors.qdrant_audit import SEEN_FIELDS
from ops.reconcile.comparison import PAGE
from ops.reconcile.paging import pages_of
from ops.reconcile.run import Asked, run
from ops.settings import Settings, load_settings
from ops.stores import open_rows, open_store
from ops.terminal import print_json
from schemas.document import point_id
from schemas.errors import StackError


async def by_reconcile(settings: Settings) -> dict[str, float]:
    """A run that looks at every row and point, and embeds nothing."""
    seconds, processor = time.monotonic(), time.process_time()
    report = (await run(settings, Asked(vectors=0))).report
    if report is None:
        raise StackError("reconcile came to no report")
    return _spent(seconds, processor) | {"differences": report.differences}


async def bare(settings: Settings) -> dict[str, float]:
    """The same points by the client alone, one request after the other: payloads by id, then a scroll over all.

    The ids are known before; Postgres is not read.
    """
    qdrant = settings.qdrant
    async with open_rows(settings) as rows, open_store(settings) as store:
        ids = [point_id(row.article_id) async for page in rows.pages() for row in page]
        name = (await store.live_collection()).name
    async with open_client(qdrant.url, api_key=None, timeout_seconds=qdrant.timeout_seconds) as client:
        seconds, processor = time.monotonic(), time.process_time()
        missing = 0
        for part in pages_of(ids, PAGE):
            missing += len(part) - len(await client.retrieve(name, ids=part, with_payload=True, with_vectors=False))
        offset: Any = None
        while True:
            _, offset = await client.scroll(
                name, limit=PAGE, offset=offset, with_payload=SEEN_FIELDS, with_vectors=False
            )
            if offset is None:
                break
        return _spent(seconds, processor) | {"differences": missing}


def _spent(seconds: float, processor: float) -> dict[str, float]:
    return {"seconds": time.monotonic() - seconds, "processor_seconds": time.process_time() - processor}


def main(arguments: Sequence[str]) -> None:
    """Look once and print it."""
    match arguments:
        case ["reconcile"]:
            look = by_reconcile
        case ["bare"]:
            look = bare
        case _:
            raise SystemExit(f"no such look: {' '.join(arguments)}")
    print_json(asyncio.run(look(load_settings())))


if __name__ == "__main__":
    main(sys.argv[1:])
