"""The last hour of a few numbers, in memory: what the dashboard's charts show."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby

KEPT_SECONDS = 3600.0
EVERY_SECONDS = 5.0
"""Samples that follow closer are passed over, so that an hour is 720 of them at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """The numbers at a moment, `at` in Unix seconds. None is what could not be asked then."""

    at: float
    lag_records: int | None
    age_seconds: float | None
    wal_bytes: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Peaks:
    """The highest of each number within a while that began at `at`; None where nothing was known."""

    at: float
    lag_records: float | None
    age_seconds: float | None
    wal_bytes: float | None


class History:
    """Samples of the last hour, the oldest first. A restart of the server forgets them."""

    def __init__(self) -> None:
        self._samples: deque[Sample] = deque(maxlen=int(KEPT_SECONDS / EVERY_SECONDS))

    def add(self, sample: Sample) -> bool:
        """Keep a sample and forget those older than an hour; False where the one before is too near."""
        if self._samples and sample.at - self._samples[-1].at < EVERY_SECONDS:
            return False
        self._samples.append(sample)
        while self._samples[0].at < sample.at - KEPT_SECONDS:
            self._samples.popleft()
        return True

    @property
    def newest(self) -> tuple[float | None, ...] | None:
        """The last row of the columns; None before the first sample."""
        return _row(self._samples[-1]) if self._samples else None

    def columns(self) -> list[list[float | None]]:
        """As the charts read them: times, lag in records, age in seconds, WAL in bytes."""
        rows = [_row(sample) for sample in self._samples]
        return [list(column) for column in zip(*rows, strict=True)] or [[], [], [], []]

    def peaks(self, every_seconds: float = 300.0) -> list[Peaks]:
        """The charts as figures: the highest of each while, the newest first."""
        whiles = groupby(self._samples, key=lambda sample: sample.at // every_seconds)
        found = [
            Peaks(
                at=number * every_seconds,
                lag_records=_highest(sample.lag_records for sample in samples),
                age_seconds=_highest(sample.age_seconds for sample in samples),
                wal_bytes=_highest(sample.wal_bytes for sample in samples),
            )
            for number, samples in ((number, list(group)) for number, group in whiles)
        ]
        return found[::-1]


def _row(sample: Sample) -> tuple[float | None, ...]:
    return sample.at, sample.lag_records, sample.age_seconds, sample.wal_bytes


def _highest(values: Iterable[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)
