"""The source topic's marks in the Faust table, and the moment at which they are checked: after each recovery."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

import faust
import orjson
from faust.types import TP

from schemas.errors import BrokerError, LockstepError
from schemas.source_mark import RESERVED_PREFIX, SourceMark, source_mark_key
from streams.app import assigned_partitions, leave_group, on_recovery, read_from
from streams.changelog import Entry
from streams.source_identity import SourceGuard, SourceTopic

LOOK_EVERY_SECONDS = 10.0


class FaustMarks:
    """`streams.source_identity.Marks` on the Faust table of the indexed rows, each in the partition that it marks."""

    def __init__(self, table: Any, send: Callable[[Sequence[Entry]], Awaitable[None]]) -> None:
        self._table = table
        self._send = send

    def get(self, partition: int) -> SourceMark | None:
        """The mark of a partition that is ours; None before it has one."""
        data = self._table.data.get(source_mark_key(partition))
        return SourceMark.from_bytes(data) if data else None

    async def put(self, marks: Mapping[int, SourceMark]) -> None:
        """Remember marks; returns once the broker has confirmed every changelog record.

        Raises:
            BrokerError: It did not.
        """
        records = [(partition, source_mark_key(partition), mark.to_bytes()) for partition, mark in marks.items()]
        for record in records:
            self._table.data.remember(*record)
        await self._send(records)

    def newest_versions(self) -> Mapping[int, int]:
        """The highest version of each partition's rows; the loop stands still for two seconds a million."""
        newest: dict[int, int] = {}
        data = self._table.data
        for key, value in data.items():
            if not key.startswith(RESERVED_PREFIX):
                partition = data.partition_of(key)
                newest[partition] = max(newest.get(partition, 0), orjson.loads(value[: value.index(b"\n")])[0])
        return newest


@dataclass(slots=True)
class Verification:
    """The source topic that was last found to be the table's, and in which generation of the group."""

    generation: int | None = field(default=None, init=False)
    source: SourceTopic | None = field(default=None, init=False)


def verify_source_at_recovery(
    app: faust.App, table: Any, guard: SourceGuard, *, topic: str, stop: Callable[[LockstepError], NoReturn]
) -> Verification:
    """Have the guard check the topic at each assignment: the table is recovered, no source partition is resumed yet.

    `stop` ends the process, because Faust drops what a callback of its recovery raises. What else this one might raise
    leaves the generation unverified, and the agent takes no record of it.
    """
    verification = Verification()

    async def read_partitions_from(offsets: Mapping[int, int]) -> None:
        if not await read_from(app, {TP(topic, partition): offset for partition, offset in offsets.items()}):
            raise BrokerError(f"cannot commit offsets of {topic}: a partition has left this worker")

    async def verify() -> None:
        generation = app.consumer_generation_id
        changelog = table.changelog_topic.get_topic_name()
        partitions = sorted(tp.partition for tp in app.assignor.assigned_actives() if tp.topic == changelog)
        try:
            if len(assigned_partitions(app, topic)) < len(partitions):
                await leave_group(app)
                raise BrokerError(f"topic {topic} was away when its partitions were assigned")
            source = await guard.check(partitions, read_partitions_from)
        except LockstepError as error:
            if app.consumer_generation_id == generation:
                stop(error)
            return  # the next generation is checked in its turn
        if app.consumer_generation_id == generation:
            verification.generation, verification.source = generation, source

    async def look_again() -> None:
        """End a worker whose topic was replaced unseen: aiokafka goes on in its middle, Faust drops what is before."""
        earlier = verification.source
        if earlier is None:
            return
        try:
            source = await guard.look()
        except BrokerError:
            return  # a broker or topic that is away shows in the group, and in what nobody confirms
        if source.replaces(earlier):
            stop(BrokerError(f"topic {topic} was made anew while it was read"))
        verification.source = source

    on_recovery(app, table, verify)
    app.timer(LOOK_EVERY_SECONDS)(look_again)
    return verification
