"""A broken promise, as an audit names it."""

from collections.abc import Iterable
from dataclasses import dataclass

EXAMPLES = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What is wrong, how often, and the first places or keys where it shows."""

    what: str
    count: int
    examples: tuple[str, ...]


def finding(what: str, items: Iterable[object], count: int | None = None) -> Finding:
    """A finding about these items; one of none when there are none. `count` where more were seen than are given."""
    names = sorted(str(item) for item in items)
    return Finding(what=what, count=len(names) if count is None else count, examples=tuple(names[:EXAMPLES]))
