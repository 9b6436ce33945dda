"""From which value on a number is amber, and from which it is red."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Self


class Level(StrEnum):
    """What a line means for whoever is on call."""

    GREEN = "green"
    AMBER = "amber"
    """It deserves a look by day."""
    RED = "red"
    """It deserves one now."""


def worst(*levels: Level) -> Level:
    """The most pressing of the levels; green where there is none."""
    return max(levels, key=tuple(Level).index, default=Level.GREEN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Each limit belongs to its level: a value that reaches it has the level. Without `red` nothing is red."""

    amber: float
    red: float | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `1000,100000`, or `1000` for amber alone. Raises `ValueError`."""
        try:
            amber, *rest = (float(part) for part in text.split(","))
        except ValueError as error:
            raise ValueError("write amber,red as two numbers, or amber alone") from error
        if len(rest) > 1 or not all(0 <= value < float("inf") for value in (amber, *rest)):
            raise ValueError("write amber,red as two numbers, or amber alone")
        if rest and rest[0] < amber:
            raise ValueError("amber comes before red: the first number is the smaller one")
        return cls(amber=amber, red=rest[0] if rest else None)

    def level(self, value: float) -> Level:
        """The level of a value."""
        if self.red is not None and value >= self.red:
            return Level.RED
        return Level.AMBER if value >= self.amber else Level.GREEN
