"""Reads old records again into the live collection: restores points that are missing or behind, moves none back.

The range chooses the keys. What is written is the newest state of each, also where its record lies after the range, so
that a replay of yesterday never leaves a point of yesterday, and a row deleted since stays deleted. Nothing is
published: the events of these changes went out when they were applied.
"""

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from connectors.kafka import Watermarks
from ops.backfill.history import check_history
from ops.backfill.parts import BackfillParts, open_backfill_parts
from ops.backfill.progress import Progress, Say
from ops.settings import Settings
from schemas.errors import ReplayError
from streams.topics import PRODUCT_CHANGES


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayRange:
    """What was asked for. Exactly one of the three beginnings is set; times carry a zone."""

    from_beginning: bool = False
    from_offsets: Mapping[int, int] = field(default_factory=dict)
    from_time: datetime | None = None
    until: datetime | None = None
    keys: frozenset[str] = frozenset()
    """Only these keys; empty for every key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayPlan:
    """From which offset to which the keys are taken, by partition; one without a record in the range is left out."""

    starts: Mapping[int, int]
    ends: Mapping[int, int]

    @property
    def offsets(self) -> dict[int, int]:
        """How many offsets are read in each partition; compaction leaves fewer records."""
        return {number: self.ends[number] - start for number, start in self.starts.items()}


@dataclass(slots=True, kw_only=True)
class ReplayReport:
    """What a replay came to, or would come to."""

    collection: str
    plan: ReplayPlan
    progress: Progress
    undecodable: int
    dry_run: bool
    seconds: float


def check_times(asked: ReplayRange, now: datetime) -> None:
    """Refuse times that name no range.

    Raises:
        ReplayError: The beginning lies in the future, or not before the end.
    """
    if asked.from_time is None:
        return
    if asked.from_time > now:
        raise ReplayError(f"cannot replay from {asked.from_time.isoformat()}: it lies in the future")
    if asked.until is not None and asked.until <= asked.from_time:
        raise ReplayError(f"cannot replay until {asked.until.isoformat()}: it does not lie after the beginning")


def plan_replay(
    marks: Mapping[int, Watermarks], starts: Mapping[int, int], ends: Mapping[int, int] | None = None
) -> ReplayPlan:
    """Choose the range of each partition from the offsets asked for.

    An offset before the first retained record gives the low watermark; without `ends` it is the high watermark. A
    partition that is not named, or has no record in the range, is left out.

    Raises:
        ReplayError: A partition is unknown, an offset lies beyond the end, or no partition has a record in the range.
    """
    for number, start in starts.items():
        if number not in marks:
            raise ReplayError(
                f"cannot replay: {PRODUCT_CHANGES} has no partition {number}",
                hint=f"its partitions are 0 to {max(marks)}",
            )
        if start > marks[number].high:
            raise ReplayError(
                f"cannot replay from {PRODUCT_CHANGES}[{number}]@{start}: the partition ends at {marks[number].high}"
            )
    limits = {number: marks[number].high if ends is None else min(ends[number], marks[number].high) for number in marks}
    ranges = {number: max(start, marks[number].low) for number, start in starts.items()}
    ranges = {number: start for number, start in ranges.items() if start < limits[number]}
    if not ranges:
        raise ReplayError(f"nothing to replay: no partition of {PRODUCT_CHANGES} has a record in the range")
    return ReplayPlan(starts=ranges, ends={number: limits[number] for number in ranges})


async def replay(
    settings: Settings,
    asked: ReplayRange,
    *,
    now: datetime,
    dry_run: bool = False,
    approve: Callable[[ReplayPlan], bool] = lambda plan: True,
    say: Say,
) -> ReplayReport | None:
    """Plan a replay, and carry it out once the plan is approved; None when it is not. Safe to repeat.

    With `dry_run` it reads, compares and counts, and writes nothing.

    Raises:
        ReplayError: The range cannot be read, or history is gone.
        LockstepError: A part cannot be reached, the alias is missing, the model cannot be loaded.
    """
    check_times(asked, now)
    started = time.monotonic()
    progress = Progress(say=say)
    async with open_backfill_parts(settings) as parts:
        target = await parts.store.live_collection()
        plan = await _plan(parts, asked)
        if not approve(plan):
            return None
        backfill = await parts.backfill(target, progress, dry_run=dry_run)
        backfill.latest.only = asked.keys or None
        await backfill.replay(plan.starts, plan.ends)
        return ReplayReport(
            collection=target.name,
            plan=plan,
            progress=progress,
            undecodable=backfill.latest.undecodable,
            dry_run=dry_run,
            seconds=round(time.monotonic() - started, 1),
        )


async def _plan(parts: BackfillParts, asked: ReplayRange) -> ReplayPlan:
    marks = parts.source.marks
    if asked.from_beginning or any(offset < parts.source.starts.get(n, 0) for n, offset in asked.from_offsets.items()):
        check_history(parts.source)
    if asked.from_beginning:
        starts = parts.source.starts
    elif asked.from_time is not None:
        starts = await _offsets_at(parts, marks, asked.from_time)
    else:
        starts = dict(asked.from_offsets)
    ends = await _offsets_at(parts, marks, asked.until) if asked.until else None
    return plan_replay(marks, starts, ends)


async def _offsets_at(parts: BackfillParts, partitions: Collection[int], moment: datetime) -> dict[int, int]:
    return await parts.reader.offsets_at(partitions, int(moment.timestamp() * 1000))
