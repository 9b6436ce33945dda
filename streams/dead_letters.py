"""Publishes what cannot be applied."""

from collections.abc import Sequence
from typing import Any

from schemas.dead_letter import DeadLetter
from streams.app import confirmed


class FaustDeadLetters:
    """`streams.ports.DeadLetterTopic` on a Faust topic."""

    def __init__(self, topic: Any) -> None:
        self._topic = topic

    async def publish(self, letters: Sequence[DeadLetter]) -> None:
        """Send them all; returns once the broker has confirmed each."""
        sent = [
            await self._topic.send(key=letter.record.key, value=letter.record.value, headers=letter.headers())
            for letter in letters
        ]
        await confirmed(sent)
