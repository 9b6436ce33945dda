"""How `lockstep status` shows a status: as a page of 80 columns, or as lines that tell what changed."""

from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderResult
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ops.status.limits import Level
from ops.status.report import LagStatus, Line, SyncStatus
from ops.terminal import harmless

_STYLES = {Level.GREEN: "green", Level.AMBER: "yellow", Level.RED: "bold red"}


class StatusPage:
    """The whole status, for a terminal."""

    def __init__(self, status: SyncStatus) -> None:
        self._status = status

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The verdict, a line for each part, and how far each partition is."""
        status = self._status
        yield _verdict(status)
        yield _lines(status.lines)
        if status.lag is not None:
            yield Padding(_partition_table(status, status.lag), (1, 0, 0, 6))


def one_line(text: str) -> str:
    """A text from elsewhere, fit for a line of a terminal."""
    return harmless(" ".join(text.split()))


def changes(before: SyncStatus | None, now: SyncStatus) -> list[str]:
    """A line for each part whose level changed, and for the whole; at first for each part that is not green."""
    levels = {line.part: line.level for line in before.lines} if before else {}
    told = [line for line in now.lines if line.level is not levels.pop(line.part, Level.GREEN)]
    lines = [_change(now, line.part, line.level, line.says, line.hint) for line in told]
    gone = [part for part, level in levels.items() if level is not Level.GREEN and part not in _parts(now)]
    lines += [_change(now, part, Level.GREEN, "is no longer there", None) for part in gone]
    if before is None or before.level is not now.level:
        lines.append(_change(now, "status", now.level, _summary(now), None))
    return lines


def _parts(status: SyncStatus) -> set[str]:
    return {line.part for line in status.lines}


def _change(now: SyncStatus, part: str, level: Level, says: str, hint: str | None) -> str:
    tail = f" (try: {hint})" if hint else ""
    return one_line(f"{now.at:%Y-%m-%dT%H:%M:%SZ} {level} {part}: {says}{tail}")


def _summary(status: SyncStatus) -> str:
    pressing = [line.part for line in status.lines if line.level is status.level]
    return "every part is well" if status.level is Level.GREEN else ", ".join(pressing)


def _verdict(status: SyncStatus) -> Table:
    row = Table.grid(expand=True, padding=(0, 1))
    row.add_column(ratio=1)
    row.add_column(justify="right", no_wrap=True)
    verdict = Text(f"{status.level.upper()}: ", style=_STYLES[status.level])
    verdict.append(one_line(_summary(status)))
    row.add_row(verdict, Text(f"{status.at:%Y-%m-%d %H:%M:%S} UTC", style="dim"))
    return row


def _lines(lines: Iterable[Line]) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(max_width=21, overflow="fold")
    table.add_column(overflow="fold")
    said: set[str] = set()
    for line in lines:
        text = Text(one_line(line.says))
        # One cause shows in several lines: its remedy stands under the first.
        if line.hint and line.hint not in said:
            said.add(line.hint)
            text.append(f"\nTry: {one_line(line.hint)}", style="dim")
        table.add_row(Text(line.level, style=_STYLES[line.level]), Text(one_line(line.part)), text)
    return table


def _partition_table(status: SyncStatus, lag: LagStatus) -> Table:
    worker_of = {
        number: member.name for member in (status.group.members if status.group else []) for number in member.partitions
    }
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("partition", "low", "committed", "high", "lag"):
        table.add_column(name, justify="right")
    table.add_column("worker", overflow="fold")
    for of in lag.partitions:
        numbers = (of.low_watermark, of.committed, of.high_watermark, of.lag_records)
        worker = Text(one_line(worker_of.get(of.partition, "nobody")))
        table.add_row(str(of.partition), *(f"{number:,}" for number in numbers), worker)
    return table
