"""How often a measured value fell into which bucket, as plain numbers that a scrape reads."""

from bisect import bisect_left
from collections.abc import Sequence


class Distribution:
    """A histogram: `bounds` are the upper limits of its buckets, inclusive; what lies above the last has its own."""

    __slots__ = ("_bounds", "_counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Count one value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self.total += value

    @property
    def count(self) -> int:
        """How many values there were."""
        return sum(self._counts)

    def bound_of(self, share: float) -> float | None:
        """The limit of the bucket in which the smallest `share` of the values ends; None where there is none."""
        wanted, reached = share * self.count, 0
        for bound, count in zip(self._bounds, self._counts, strict=False):
            reached += count
            if count and reached >= wanted:
                return bound
        return None

    def cumulative(self) -> list[tuple[str, float]]:
        """How many values each bucket and all below it hold, by the upper limit; the last is `+Inf`."""
        found: list[tuple[str, float]] = []
        reached = 0
        for bound, count in zip([*map(_text, self._bounds), "+Inf"], self._counts, strict=True):
            reached += count
            found.append((bound, float(reached)))
        return found


def _text(bound: float) -> str:
    return repr(float(bound))
