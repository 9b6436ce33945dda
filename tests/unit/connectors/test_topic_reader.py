"""What a reader says when the broker is away; it is at work in `tests/integration/test_recovery.py`."""

import pytest

from connectors import topic_reader
from connectors.topic_reader import TopicReader
from schemas.errors import BrokerError

TOPIC = "app-rows-changelog"


async def test_broker_that_does_not_answer_is_a_broker_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topic_reader, "STALLED_AFTER_SECONDS", 0.3)
    async with TopicReader("127.0.0.1:1", TOPIC) as reader:
        with pytest.raises(BrokerError, match=f"cannot read {TOPIC} at 127.0.0.1:1: ") as caught:
            await reader.watermarks([0])
    assert caught.value.hint
