"""Retries dead letters: Debezium reads the rows again, and each row's point is compared with it afterwards.

The old record is never published again: it is older than what came since, and was refused.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from connectors.kafka import KafkaAdmin
from connectors.postgres import Postgres, UnreadableRowError
from connectors.qdrant import QdrantStore
from ops.dead_letters import FoundLetter, Refused, Selection, find_letters, key_text
from schemas.debezium import decode_key
from schemas.document import StoredPoint
from schemas.errors import DecodeError
from schemas.product import Product, row_hash
from schemas.recipe import Recipe
from schemas.record import Place
from streams.topics import DEAD_LETTERS, PRODUCT_CHANGES

PATIENCE_SECONDS = 120.0
LOOK_EVERY_SECONDS = 0.5
PAGE = 500
MAX_KEY_BYTES = 4096
"""A longer key does not go into a signal. The unique index holds one only if it can be compressed below 2.7 kB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPlan:
    """Which rows are read again, each with the letters that this resolves, and which letters cannot be retried."""

    rows: Mapping[str, Sequence[FoundLetter]]
    refused: Sequence[Refused]


class Outcome(StrEnum):
    """What became of a row that was read again."""

    INDEXED = "indexed"
    """The point equals the row."""
    ROW_IS_GONE = "row is gone"
    """There is nothing to index, and there is no point."""
    SET_ASIDE_AGAIN = "set aside again"
    POINT_WITHOUT_ROW = "row is gone, its point is still there"
    NOT_SEEN = "not indexed yet"
    """Patience ended before anything came of it."""

    @property
    def is_right(self) -> bool:
        """Whether the letters of the row are resolved by it."""
        return self in (Outcome.INDEXED, Outcome.ROW_IS_GONE)


@dataclass(frozen=True, slots=True, kw_only=True)
class RowResult:
    """The outcome for one row; `place` is the record's that was set aside again."""

    outcome: Outcome
    place: Place | None = None


def plan_retry(letters: Sequence[FoundLetter]) -> RetryPlan:
    """Choose the rows to read again; several letters of one row need one read. Letters without a row are refused."""
    rows: dict[str, list[FoundLetter]] = {}
    refused = []
    for found in letters:
        try:
            key = decode_key(found.letter.record)
        except DecodeError as error:
            refused.append(Refused(place=found.place, reason=f"{error}: no row to read again, discard it"))
            continue
        if "\0" in key:
            refused.append(Refused(place=found.place, reason="no row can have a NUL in its key: discard it"))
        elif len(key.encode()) > MAX_KEY_BYTES:
            refused.append(Refused(place=found.place, reason=f"key is longer than {MAX_KEY_BYTES} bytes"))
        else:
            rows.setdefault(key, []).append(found)
    return RetryPlan(rows=rows, refused=refused)


@dataclass(frozen=True, slots=True, kw_only=True)
class SetAside:
    """Finds dead letters of records that came after a moment.

    `source` and `letters` are the high watermarks of that moment, by partition: a letter of an older record may
    appear once more meanwhile, which says nothing of the record that we ask for.
    """

    brokers: str
    source: Mapping[int, int]
    letters: Mapping[int, int]

    @classmethod
    async def after_now(cls, brokers: str) -> "SetAside":
        """The moment is now. Raises `BrokerError`."""
        async with KafkaAdmin(brokers) as admin:
            source = await admin.watermarks(PRODUCT_CHANGES)
            letters = await admin.watermarks(DEAD_LETTERS)
        return cls(
            brokers=brokers,
            source={number: marks.high for number, marks in source.items()},
            letters={number: marks.high for number, marks in letters.items()},
        )

    async def places(self) -> dict[str, Place]:
        """The newest such place of each key. Raises `BrokerError`."""
        found = (await find_letters(self.brokers, Selection(), starts=self.letters)).letters()
        return {
            key: each.place
            for each in found
            if each.place.offset >= self.source.get(each.place.partition, 0)
            and (key := key_text(each.letter.record)) is not None
        }


async def retry_rows(
    keys: Collection[str],
    *,
    rows: Postgres,
    store: QdrantStore,
    settle: Callable[[], Awaitable[None]],
    set_aside: Callable[[], Awaitable[Mapping[str, Place]]],
    patience_seconds: float = PATIENCE_SECONDS,
) -> dict[str, RowResult]:
    """Have the rows read again, wait until something came of each, and say what.

    `settle` waits until the pipeline has applied what was committed before. Debezium confirms the signal a moment
    before the rows it reads are on the topic, and works through snapshots one after the other: hence several looks.

    Raises:
        SourceError: Postgres cannot be reached, or nothing is captured.
        BrokerError: The worker makes no progress, or the broker cannot be reached.
        VectorStoreError: Qdrant cannot be read.
    """
    results: dict[str, RowResult] = {}
    waiting = sorted(keys)
    await rows.signal_snapshot(waiting)
    ends = time.monotonic() + patience_seconds
    while True:
        await settle()
        again = await set_aside()
        still_waiting = []
        for start in range(0, len(waiting), PAGE):
            for key, result in (await _look(waiting[start : start + PAGE], rows, store, again)).items():
                # A point without a row may be on its way out: what was seen twice, with a settle between, stays.
                seen_twice = results.get(key) == result
                results[key] = result
                if result.outcome is Outcome.NOT_SEEN or (
                    result.outcome is Outcome.POINT_WITHOUT_ROW and not seen_twice
                ):
                    still_waiting.append(key)
        waiting = still_waiting
        if not waiting or time.monotonic() >= ends:
            return results
        await asyncio.sleep(LOOK_EVERY_SECONDS)


async def _look(
    keys: Sequence[str], rows: Postgres, store: QdrantStore, again: Mapping[str, Place]
) -> dict[str, RowResult]:
    live = await store.live_collection()
    unreadable: list[UnreadableRowError] = []
    present = await rows.fetch_rows(keys, unreadable)
    beyond_reading = {error.article_id for error in unreadable}
    points = await store.stored_points(live.name, keys)
    results = {}
    for key in keys:
        row, point = present.get(key), points.get(key)
        if row is None and key not in beyond_reading:
            outcome = Outcome.POINT_WITHOUT_ROW if point else Outcome.ROW_IS_GONE
        elif row and point and _agrees(row, point, live.recipe):
            outcome = Outcome.INDEXED
        else:
            outcome = Outcome.SET_ASIDE_AGAIN if key in again else Outcome.NOT_SEEN
        place = again[key] if outcome is Outcome.SET_ASIDE_AGAIN else None
        results[key] = RowResult(outcome=outcome, place=place)
    return results


def _agrees(row: Product, point: StoredPoint, recipe: Recipe) -> bool:
    """By what the worker noted when it wrote the point; `lockstep reconcile` compares the payload itself."""
    return point.row_hash == row_hash(row.to_bytes()) and point.embedding_fingerprint == recipe.fingerprint(
        recipe.render(row)
    )
