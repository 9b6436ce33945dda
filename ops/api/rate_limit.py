"""Token buckets: how often each of many may do something, in bounded memory."""

from collections import OrderedDict
from dataclasses import dataclass


@dataclass(slots=True)
class _Bucket:
    left: float
    at: float


class RateLimit:
    """So many a second for each name, and so many at once (`burst`) after a pause.

    No more than `names` are remembered, those that were seen last; one that is forgotten begins anew.
    """

    def __init__(self, per_second: float, *, burst: float, names: int = 10_000) -> None:
        self._per_second = per_second
        self._burst = max(1.0, burst)
        self._names = names
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def take(self, name: str, now: float) -> float:
        """Count one more; gives 0, or the seconds to wait when it is too many, in which case it does not count.

        `now` is of a clock that never goes back, in seconds.
        """
        bucket = self._buckets.pop(name, None) or _Bucket(left=self._burst, at=now)
        self._buckets[name] = bucket
        if len(self._buckets) > self._names:
            self._buckets.popitem(last=False)
        bucket.left = min(self._burst, bucket.left + (now - bucket.at) * self._per_second)
        bucket.at = now
        if bucket.left < 1.0:
            return (1.0 - bucket.left) / self._per_second
        bucket.left -= 1.0
        return 0.0
