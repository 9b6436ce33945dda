"""Looks at the source topic on the broker, and at the marks that workers left of it in their table's changelog."""

from collections.abc import Mapping

from connectors.kafka import KafkaAdmin
from connectors.topic_reader import TopicReader
from schemas.errors import BrokerError, DecodeError, ErrorKind, SettingsError
from schemas.source_mark import SourceMark, source_mark_key
from streams.source_identity import EPOCH, SourceTopic
from streams.topics import APP_ID, CHANGELOG, PRODUCT_CHANGES

UNFINISHED = b" of a rebuild that has not ended"
"""Behind a mark, it makes it one that no worker accepts; its version stays, so the mark itself takes its place."""


async def look_at_source(admin: KafkaAdmin) -> SourceTopic:
    """The topic as it is now.

    Raises:
        BrokerError: It cannot be reached, or does not exist.
    """
    state = (await admin.describe([PRODUCT_CHANGES])).get(PRODUCT_CHANGES)
    if state is None:
        raise BrokerError(
            f"topic {PRODUCT_CHANGES} does not exist", kind=ErrorKind.OUTAGE, hint="lockstep topics apply"
        )
    # First: a commit between the two would lie past the watermark.
    committed = await admin.committed(APP_ID, PRODUCT_CHANGES)
    marks = await admin.watermarks(PRODUCT_CHANGES)
    return SourceTopic(
        name=PRODUCT_CHANGES,
        topic_id=state.topic_id or "",
        low={partition: of.low for partition, of in marks.items()},
        high={partition: of.high for partition, of in marks.items()},
        committed=committed,
    )


async def read_marks(admin: KafkaAdmin, brokers: str) -> dict[int, SourceMark]:
    """The marks of the source topic in the changelog that is there, highest epoch first; whatever else it holds."""
    found: dict[int, SourceMark] = {}
    if CHANGELOG not in await admin.describe([CHANGELOG]):
        return found
    watermarks = await admin.watermarks(CHANGELOG)
    starts = {partition: of.low for partition, of in watermarks.items()}
    ends = {partition: of.high for partition, of in watermarks.items()}
    async with TopicReader(brokers, CHANGELOG) as reader:
        async for messages in reader.read(starts, ends):
            for message in messages:
                partition, value = message.partition(), message.value()
                if message.key() != source_mark_key(partition) or not value:
                    continue
                mark = read_mark(value)
                if mark and (partition not in found or mark.epoch >= found[partition].epoch):
                    found[partition] = mark
    return found


def read_mark(value: bytes) -> SourceMark | None:
    """The mark that an entry is, also that of a rebuild that was killed; None for any other value."""
    try:
        return SourceMark.from_bytes(value.removesuffix(UNFINISHED))
    except DecodeError:
        return None  # it may be the very record that the table is rebuilt for


def check_epoch(marks: Mapping[int, SourceMark], epoch: int) -> None:
    """Refuse another epoch than that of the workers: a lower one changes nothing, a higher one shuts their changes out.

    Raises:
        SettingsError: The marks of the workers' table are of another epoch.
    """
    workers = max((mark.epoch for mark in marks.values()), default=epoch)
    if epoch != workers:
        raise SettingsError(
            f"{EPOCH} is {epoch}, and the workers' is {workers}",
            hint=f"set {EPOCH}={workers}"
            if epoch < workers
            else f"set {EPOCH}={workers}, or restart the workers first",
        )
