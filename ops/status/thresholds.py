"""Judges what is known of the parts: a line for each, with its level, the reason and the command that helps."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from ops.settings import StatusSettings
from ops.status.limits import Level, Limits, worst
from ops.status.report import (
    ConnectorState,
    GroupStatus,
    IndexStatus,
    LagStatus,
    Line,
    SlotStatus,
    SyncStatus,
    WorkerStatus,
)
from ops.status.units import bytes_text, count_text, numbers_text, seconds_text
from schemas.collection import Phase

STILL_SECONDS = 3.0
"""A lag that stands still for so long is amber: a full batch of new texts takes less."""
SAFE_WAL = Limits(amber=0.5, red=0.8)
"""How much of the WAL that the slot may hold back is held back."""

_SILENT_HINTS = {
    "Kafka": "see that Kafka runs: `lockstep up`, or LOCKSTEP_KAFKA_BROKERS",
    "Postgres": "see that Postgres runs: `lockstep up`, or LOCKSTEP_POSTGRES_DSN",
    "Qdrant": "see that Qdrant runs: `lockstep up`, or LOCKSTEP_QDRANT_URL",
    "Kafka Connect": "see that Kafka Connect runs: `lockstep up`, or LOCKSTEP_CONNECT_URL",
}
_ASKED_OF = {
    "connector": "Kafka Connect",
    "slot": "Postgres",
    "rows": "Postgres",
    "index": "Qdrant",
    "lag": "Kafka",
    "group": "Kafka",
    "open_dead_letters": "Kafka",
}
_LOST_SLOT_HINT = "`lockstep connector restart`, then `lockstep reconcile --fix`"
_WORKER_HINT = "`lockstep logs` tells why it ended; `lockstep up` or `lockstep worker` starts it again"


def judge(status: SyncStatus, settings: StatusSettings) -> SyncStatus:
    """The status with its lines and its level."""
    lines = list(_lines(status, settings))
    return status.model_copy(update={"lines": lines, "level": worst(*(line.level for line in lines))})


def _lines(status: SyncStatus, settings: StatusSettings) -> Iterator[Line]:
    def missing(name: str, part: str) -> Line:
        asked, reason = _ASKED_OF[name], status.unavailable.get(name, "not known")
        if hint := status.hints.get(name):
            return _red(part, reason, hint)
        return _red(part, f"{asked}: {reason}", _SILENT_HINTS[asked])

    yield judge_connector(status.connector) if status.connector else missing("connector", "connector")
    if slot := status.slot:
        yield judge_slot(slot)
        yield judge_wal(slot, Limits.parse(settings.wal_bytes))
    else:
        yield missing("slot", "slot")
    if lag := status.lag:
        yield judge_lag(lag, Limits.parse(settings.lag_records))
        yield judge_age(lag, status.at, Limits.parse(settings.age_seconds))
    else:
        yield missing("lag", "lag")
    partitions = [of.partition for of in status.lag.partitions] if status.lag else []
    yield judge_group(status.group, partitions) if status.group else missing("group", "workers")
    for worker in status.workers:
        yield judge_worker(worker, Limits.parse(settings.held_seconds))
    yield from judge_index(status.index) if status.index else [missing("index", "index")]
    if status.rows is None:
        yield missing("rows", "rows")
    else:
        yield judge_rows(status, Limits.parse(settings.difference_rows))
    yield judge_work(status)
    if status.open_dead_letters is None:
        yield missing("open_dead_letters", "dead letters")
    else:
        yield judge_dead_letters(
            status.open_dead_letters, status.dead_letters_by_reason or {}, Limits.parse(settings.dead_letters)
        )
    yield judge_reconcile(status, Limits.parse(settings.reconcile_hours))


def judge_connector(connector: ConnectorState) -> Line:
    """It runs, or the reason why not."""
    tasks = ", ".join(f"task {number} {state}" for number, state in enumerate(connector.tasks)) or "no task"
    states = f"{connector.state}, {tasks}"
    if connector.running:
        return _green("connector", states)
    if connector.state == "UNKNOWN":
        return _red("connector", f"Connect does not know {connector.name}", "lockstep connector apply")
    if connector.failure is not None:
        return _red("connector", f"{states}: {connector.failure}", connector.hint or "lockstep connector restart")
    return _red("connector", states, "lockstep connector restart")


def judge_slot(slot: SlotStatus) -> Line:
    """Whether it is read, and whether it still has what must be read."""
    behind = "" if slot.lag_bytes is None else f", {bytes_text(max(0, slot.lag_bytes))} not confirmed"
    says = f"{'active' if slot.active else 'NOT active'}, {slot.wal_status or 'no wal_status'}{behind}"
    if slot.wal_status == "lost":
        return _red("slot", f"{says}: WAL that it needs is gone, and changes with it", _LOST_SLOT_HINT)
    if slot.wal_status == "unreserved":
        return _red("slot", f"{says}: Postgres may drop its WAL any moment", "lockstep connector restart")
    if not slot.active:
        return _red("slot", f"{says}: nobody reads it, WAL piles up", "lockstep connector status")
    return _green("slot", says)


def judge_wal(slot: SlotStatus, limits: Limits) -> Line:
    """What the slot costs on Postgres's disk, and how near its end it is where it is bounded."""
    hint = "lockstep connector status"
    if slot.held_back_bytes is None:
        return _green("wal", "nothing is held back")
    held = max(0, slot.held_back_bytes)
    says, level = f"{bytes_text(held)} held back for the slot", limits.level(held)
    if slot.safe_wal_bytes is not None:
        safe = max(0, slot.safe_wal_bytes)
        says += f", lost after {bytes_text(safe)} more"
        level = worst(level, SAFE_WAL.level(held / (held + safe) if held + safe else 1.0))
    return _line("wal", level, says, hint)


def judge_lag(lag: LagStatus, limits: Limits) -> Line:
    """What waits on the topic, and whether it is being worked off."""
    says = f"{count_text(lag.lag_records, 'record')} in {count_text(len(lag.partitions), 'partition')}"
    level = limits.level(lag.lag_records)
    if lag.still_seconds == 0:
        says += ", being applied"
    elif lag.still_seconds is not None and lag.still_seconds >= STILL_SECONDS:
        says += f", no progress for {seconds_text(lag.still_seconds)}"
        level = worst(level, Level.AMBER)
    return _line("lag", level, says, "see the lines of the workers")


def judge_age(lag: LagStatus, now: datetime, limits: Limits) -> Line:
    """How old the index is."""
    newest = _ago(lag.newest_indexed_at, now)
    says = f"newest indexed change {newest} ago" if newest else "no change was indexed yet"
    if lag.oldest_waiting_at is None:
        return _green("age", f"{says}, none waits")
    waited = max(0.0, (now - lag.oldest_waiting_at).total_seconds())
    return _line(
        "age", limits.level(waited), f"oldest waits {seconds_text(waited)}; {says}", "see the lines of the workers"
    )


def judge_group(group: GroupStatus, partitions: list[int]) -> Line:
    """Whether each partition is somebody's."""
    if not group.members:
        return _red("workers", "none is in the group: nothing is indexed", "`lockstep worker`, or `lockstep up`")
    taken = {number for member in group.members for number in member.partitions}
    free = sorted(set(partitions) - taken)
    says = "; ".join(f"{member.name}: {numbers_text(member.partitions)}" for member in group.members)
    if group.state != "STABLE":
        return _line("workers", Level.AMBER, f"{says} ({group.state.lower().replace('_', ' ')})", "wait a moment")
    if free:
        return _red("workers", f"nobody has partition {numbers_text(free)}; {says}", "`lockstep worker`")
    return _green("workers", says)


def judge_worker(worker: WorkerStatus, limits: Limits) -> Line:
    """Whether it gets on, by its own page."""
    if worker.error is not None:
        return _red(worker.url.partition("://")[2], worker.error, _WORKER_HINT)
    part = worker.name or worker.url
    if worker.unready_because is None:
        return _green(
            part,
            f"partitions {numbers_text(worker.partitions or [])}, {count_text(worker.records or 0, 'record')} "
            f"in {seconds_text(worker.uptime_seconds or 0)}",
        )
    if worker.held_seconds is None:
        return _line(part, Level.AMBER, worker.unready_because, worker.hint)
    says = f"{worker.unready_because} (since {seconds_text(worker.held_seconds)})"
    return _line(part, limits.level(worker.held_seconds), says, worker.hint)


def judge_index(index: IndexStatus) -> Iterator[Line]:
    """What is searched, and whether its rebuild came to its end."""
    says = f"{index.alias} is {index.collection}{f', {index.phase}' if index.phase else ''}"
    if index.phase in (Phase.FILLING, Phase.FOLLOWING):
        yield _red("index", f"{says}: its rebuild was ended too soon, changes may be missing", "lockstep rebuild")
    else:
        yield _green("index", f"{says}, and {count_text(len(index.others), 'other')}" if index.others else says)
    yield _green("recipe", f"{index.recipe[:8]}, {index.model}, {index.dimensions} dimensions")


def judge_rows(status: SyncStatus, limits: Limits) -> Line:
    """Rows against points, compared only where nothing is under way; rows that were set aside do not count."""
    rows = status.rows or 0
    how = "estimated" if status.rows_estimated else "counted"
    says = f"{count_text(rows, 'row')} in Postgres ({how})"
    if status.index is None:
        return _green("rows", says)
    points = status.index.points
    says += f", {count_text(points, 'point')} in Qdrant"
    at_rest = status.lag is not None and status.lag.lag_records == 0 and not status.rows_estimated
    difference = max(0, abs(rows - points) - (status.open_dead_letters or 0))
    level = limits.level(difference) if at_rest and difference else Level.GREEN
    return _line("rows", level, says, "lockstep reconcile")


def judge_work(status: SyncStatus) -> Line:
    """What the workers did; never more than green, as nothing of it is wrong by itself."""
    work = status.work
    if work is None:
        if status.workers:
            return _green("work", "not known: no worker's page answers")
        return _green("work", "not known: no worker's page is named in LOCKSTEP_STATUS_WORKERS")
    actions = ", ".join(
        f"{name} {count:,}" for name, count in sorted(work.actions.items(), key=lambda item: -item[1]) if count
    )
    embedded = f"{work.embeddings_made:,} texts embedded, {work.embeddings_avoided:,} avoided"
    entries = count_text(work.table_entries, "table entry", "table entries")
    return _green("work", f"{entries}; {embedded}{f'; {actions}' if actions else ''}")


def judge_dead_letters(count: int, by_reason: dict[str, int], limits: Limits) -> Line:
    """Those that nobody has dealt with."""
    reasons = ", ".join(f"{reason} {number:,}" for reason, number in sorted(by_reason.items()))
    says = f"{count:,} open{f': {reasons}' if reasons else ''}"
    return _line("dead letters", limits.level(count) if count else Level.GREEN, says, "lockstep dead-letters list")


def judge_reconcile(status: SyncStatus, limits: Limits) -> Line:
    """What the last comparison of Postgres with Qdrant found, and how long ago."""
    last = status.last_reconcile
    if last is None:
        return _green("reconcile", "none was run from here (`lockstep reconcile`)")
    ago = _ago(last.finished_at, status.at)
    if last.error is not None:
        return _red("reconcile", f"{ago} ago it did not come to its end: {last.error}", "lockstep reconcile")
    found = last.report.differences if last.report else 0
    repaired = ", repaired" if last.good and found else ""
    says = f"{ago} ago: {count_text(found, 'difference')}{repaired}"
    if not last.good:
        return _red("reconcile", says, "lockstep reconcile --fix")
    age = status.at - last.finished_at
    return _line("reconcile", limits.level(age / timedelta(hours=1)), says, "lockstep reconcile")


def _ago(then: datetime | None, now: datetime) -> str | None:
    return None if then is None else seconds_text((now - then).total_seconds())


def _line(part: str, level: Level, says: str, hint: str | None) -> Line:
    """A line whose hint shows only where there is something to help."""
    return Line(part=part, level=level, says=says, hint=None if level is Level.GREEN else hint)


def _green(part: str, says: str) -> Line:
    return Line(part=part, level=Level.GREEN, says=says)


def _red(part: str, says: str, hint: str | None) -> Line:
    return Line(part=part, level=Level.RED, says=says, hint=hint)
