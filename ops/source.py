"""Looks at the source topic on the broker, for the worker and for a rebuild of its table."""

from connectors.kafka import KafkaAdmin
from schemas.errors import BrokerError, ErrorKind
from streams.source_identity import SourceTopic
from streams.topics import APP_ID, PRODUCT_CHANGES


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
