"""Shows how far long work is: a bar with rate and time left on a terminal, a plain line every few seconds elsewhere."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

PLAIN_EVERY_SECONDS = 5.0


class Report(Protocol):
    """What the work calls."""

    def __call__(self, rows: int, done: int) -> None:
        """`rows` so far, and how much of the total is `done`, in the total's unit."""
        ...


@contextmanager
def progress(console: Console, label: str, total: int) -> Iterator[Report]:
    """A function to report to, while the work is under way."""
    started = time.monotonic()

    def rate(rows: int) -> str:
        return f"{rows:,} rows, {rows / max(time.monotonic() - started, 1e-3):,.0f}/s"

    if not console.is_terminal:
        spoken = started

        def say(rows: int, done: int) -> None:
            nonlocal spoken
            if time.monotonic() - spoken >= PLAIN_EVERY_SECONDS:
                spoken = time.monotonic()
                console.print(f"{label}: {rate(rows)}, {100 * done // max(total, 1)} %")

        yield say
        return
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TaskProgressColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        console=console,
    )
    with bar:
        task = bar.add_task(label, total=total, rate="")
        yield lambda rows, done: bar.update(task, completed=done, rate=rate(rows))
