"""The fan-out topics in memory, and batches routed without an indexer."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from schemas.errors import BrokerError
from schemas.fanout_event import EventData, FanoutEvent
from schemas.recipe import Recipe
from schemas.record import Record
from streams.batch import Step, decode_batch, fold
from tests.fakes.pipeline import InMemoryTable, RowsInMemory


@dataclass
class ListOfEvents:
    """Every event that was published, repeats too; `refusals` many times the broker refuses first."""

    events: list[FanoutEvent] = field(default_factory=list)
    refusals: int = 0

    async def publish(self, events: Sequence[FanoutEvent]) -> None:
        if self.refusals:
            self.refusals -= 1
            raise BrokerError("cannot publish: the broker is away")
        self.events += events

    def of(self, model: type[EventData]) -> list[EventData]:
        return [event.data for event in self.events if isinstance(event.data, model)]


async def steps_of(records: Sequence[Record], table: InMemoryTable, recipe: Recipe | None = None) -> list[Step]:
    """What a batch does to each key; the table is left as it is."""
    received, _ = decode_batch(records, epoch=0, set_aside=())
    return [
        await fold(key, items, table.get(key), recipe or Recipe(), rows=RowsInMemory(), now_ms=0)
        for key, items in received.items()
    ]
