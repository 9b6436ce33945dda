"""Gathers what a soak left behind, for its audits."""

import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

from connectors.kafka import KafkaAdmin
from connectors.topic_reader import TopicReader, record_of
from ops.bench.audit import Evidence
from ops.bench.poison import PoisonSource
from ops.bench.qdrant_proxy import QdrantProxy
from ops.devstack.stack import Stack
from ops.reconcile import ReconcileReport, reconcile
from ops.settings import Settings
from ops.stores import open_rows, open_store
from ops.trail import read_trail
from schemas.dead_letter import DeadLetter
from schemas.fanout_event import FanoutEvent, ProductRow, row_from_bytes
from schemas.record import Place
from streams.topics import APP_ID, DEAD_LETTERS, EVENTS, PARTITIONS, PRODUCT_CHANGES


async def gather(stack: Stack, proxy: QdrantProxy, poison: PoisonSource, trail: Path) -> Evidence:
    """Read the topics, the trail, both stores and the workers' logs. All of it fits in memory."""
    settings = stack.settings
    await proxy.watch.look_at_all()
    async with KafkaAdmin(settings.kafka.brokers) as admin:
        marks = await admin.watermarks(PRODUCT_CHANGES)
        committed = await admin.committed(APP_ID, PRODUCT_CHANGES)
    records = {
        Place(topic=PRODUCT_CHANGES, partition=record.partition(), offset=record.offset()): record.key()
        async for record in _records(settings, PRODUCT_CHANGES)
    }
    letters = [
        DeadLetter.from_record(record_of(message)).record.place async for message in _records(settings, DEAD_LETTERS)
    ]
    return Evidence(
        records=records,
        marks=marks,
        committed=committed,
        trail=[(Place.parse(place), outcome) for place, outcome in read_trail(trail)],
        dead_letters=letters,
        poison=poison.places,
        violations=[f"{v.key or v.point}: {v.before} to {v.after}" for v in proxy.watch.violations],
        revivals=[f"{r.key or r.point}: {r.removed} to {r.after}" for r in proxy.watch.revivals],
        reconciled=await _reconcile(settings),
        crashes=list(_crashes(stack)),
    )


async def read_events(settings: Settings) -> list[FanoutEvent]:
    """Every event of every topic, each topic's in the order of its partitions. A record that is none raises."""
    return [
        FanoutEvent.from_record(record_of(message)) for topic in EVENTS async for message in _records(settings, topic)
    ]


async def read_rows(settings: Settings) -> dict[str, ProductRow]:
    """Postgres, by article_id."""
    async with open_rows(settings) as rows:
        return {row.article_id: row_from_bytes(row.to_bytes()) async for page in rows.pages() for row in page}


async def _records(settings: Settings, topic: str) -> AsyncIterator[Any]:
    async with TopicReader(settings.kafka.brokers, topic) as reader:
        marks = await reader.watermarks(range(PARTITIONS))
        starts = {number: mark.low for number, mark in marks.items()}
        ends = {number: mark.high for number, mark in marks.items()}
        async for records in reader.read(starts, ends):
            for record in records:
                yield record


async def _reconcile(settings: Settings) -> ReconcileReport:
    async def nothing_moves() -> None:
        """All is drained: a difference now is one."""

    async with open_store(settings) as store, open_rows(settings) as rows:
        return await reconcile(rows, store, settle=nothing_moves)


def _worker_logs(stack: Stack) -> Iterator[tuple[str, str]]:
    for name in stack.names:
        if name.startswith("worker-"):
            log = stack.log_file(name)
            for path in (log.with_suffix(".log.1"), log):
                if path.exists():
                    yield name, path.read_text(encoding="utf-8", errors="replace")


def _crashes(stack: Stack) -> Iterator[str]:
    """What a worker ended of without knowing it: each is a bug."""
    for name, text in _worker_logs(stack):
        for line in text.splitlines():
            if "Traceback (most recent call last)" in line or "unknown error" in line:
                yield f"{name}: {line}"


def worker_ends(stack: Stack) -> Iterator[str]:
    """Why workers ended themselves, numbers left out so that equal reasons can be counted."""
    for _, text in _worker_logs(stack):
        for reason in re.findall(r'worker ends action=worker_exit reason="([^"]*)"', text):
            yield re.sub(r"\d+(\.\d+)?", "N", reason)
