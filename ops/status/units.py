"""Numbers as a person reads them."""

from collections.abc import Sequence


def bytes_text(count: int) -> str:
    """`120 B`, `1.2 GB`: powers of ten, as disks are sold."""
    size = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" or size >= 100 else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def seconds_text(seconds: float) -> str:
    """`3 s`, `12 min`, `5 h`, `4 days`: whole ones, rounded down."""
    for size, unit in ((86_400, "days"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{int(seconds / size)} {unit}"
    return f"{max(0, int(seconds))} s"


def count_text(count: int, one: str, many: str | None = None) -> str:
    """`1 record`, `1,200 records`."""
    return f"{count:,} {one if count == 1 else many or f'{one}s'}"


def numbers_text(numbers: Sequence[int]) -> str:
    """Numbers in rising order, runs joined: `0-3, 5`; `none` without one."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs) or "none"
