"""What workers say at /metrics of the work that they did, between two looks."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Self

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from schemas.errors import StackError
from streams.metrics import BATCH_SIZE, BATCH_STAGE, EMBEDDINGS_MADE, RECORDS

REQUEST_SECONDS = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkDone:
    """Work of one worker or several, since their start or between two looks.

    `seconds` is by stage, over all batches. Batches and their records count once their effect is there, commits apart.
    """

    records: float = 0.0
    batches: float = 0.0
    embeddings: float = 0.0
    seconds: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def parse(cls, page: str) -> Self:
        """Read a worker's /metrics."""
        samples = [sample for family in text_string_to_metric_families(page) for sample in family.samples]
        values = {sample.name: sample.value for sample in samples if not sample.labels}
        return cls(
            records=values.get(RECORDS.name, 0.0),
            batches=values.get(f"{BATCH_SIZE.name}_count", 0.0),
            embeddings=values.get(EMBEDDINGS_MADE.name, 0.0),
            seconds={s.labels["stage"]: s.value for s in samples if s.name == f"{BATCH_STAGE.name}_sum"},
        )

    def __add__(self, other: Self) -> Self:
        return self._with(other, 1)

    def __sub__(self, before: Self) -> Self:
        return self._with(before, -1)

    def _with(self, other: Self, sign: int) -> Self:
        stages = {**self.seconds, **other.seconds}  # the stages' own order
        return type(self)(
            records=self.records + sign * other.records,
            batches=self.batches + sign * other.batches,
            embeddings=self.embeddings + sign * other.embeddings,
            seconds={s: self.seconds.get(s, 0.0) + sign * other.seconds.get(s, 0.0) for s in stages},
        )

    @property
    def records_a_batch(self) -> float:
        """The mean; 0 without a batch."""
        return self.records / self.batches if self.batches else 0.0

    @property
    def milliseconds_a_batch(self) -> dict[str, float]:
        """Mean time of a batch in each stage that took any; a batch that skipped the stage counts with 0."""
        if not self.batches:
            return {}
        return {stage: 1000 * spent / self.batches for stage, spent in self.seconds.items() if spent > 0}


async def look(addresses: Iterable[str]) -> WorkDone:
    """What the workers with these addresses have done since their start.

    Raises:
        StackError: One does not answer.
    """
    done = WorkDone()
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=REQUEST_SECONDS)) as session:
        for address in addresses:
            try:
                async with session.get(f"{address}/metrics", raise_for_status=True) as answer:
                    done += WorkDone.parse(await answer.text())
            except (aiohttp.ClientError, TimeoutError) as error:
                raise StackError(f"worker {address} does not tell its metrics: {error!r}") from error
    return done
