"""One consumer's turn: it goes through what waits for it, is killed once, and loses Qdrant for five seconds."""

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from connectors.kafka import KafkaAdmin
from ops.bench.backlog import published_records
from ops.bench.peers.consumers import Peer
from ops.devstack.stack import Stack
from schemas.errors import BrokerError, StackError
from streams.topics import PRODUCT_CHANGES

LOOK_EVERY_SECONDS = 0.05
PATIENCE_SECONDS = 180.0
OUTAGE_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What it came to. `rate` is records a second before the kill; `seconds` are from its start to its last commit."""

    rate: float
    seconds: float
    embeddings: int


async def undisturbed(admin: KafkaAdmin, peer: Peer) -> None:
    """Let it go through everything that waits for it.

    Raises:
        LockstepError: It does not start, or makes no progress.
    """
    end = await published_records(admin)
    await peer.start()
    try:
        await _until_committed(admin, peer, end)
    finally:
        await peer.stop()


async def disturbed(stack: Stack, admin: KafkaAdmin, peer: Peer) -> Turn:
    """The same, with SIGKILL after a third of the records and without Qdrant after two thirds.

    Raises:
        LockstepError: It does not start, or makes no progress.
    """
    end, embeddings, before = await published_records(admin), await peer.embeddings(), await peer.applied()
    records = end - await _committed(admin, peer)

    async def until_applied(many: int) -> tuple[int, float]:
        """How many it has applied then, and when: so many, or fewer where it lost some and is at the end."""

        async def reached() -> bool:
            return await peer.applied() >= many or await _committed(admin, peer) >= end

        await _until(peer, reached)
        return await peer.applied(), time.monotonic()

    started = time.monotonic()
    await peer.start()
    try:
        first, first_at = await until_applied(before + 1)
        third, third_at = await until_applied(max(first + 1, before + records // 3))
        if third <= first:
            raise StackError(f"{peer.name} applied {records} records at once", hint="give it more")
        await peer.kill()
        await until_applied(before + 2 * records // 3)
        await _without_qdrant(stack)
        await _until_committed(admin, peer, end)
        seconds = time.monotonic() - started
    finally:
        await peer.stop()
    return Turn(
        rate=(third - first) / (third_at - first_at),
        seconds=seconds,
        embeddings=await peer.embeddings() - embeddings,
    )


async def _without_qdrant(stack: Stack) -> None:
    await stack.kill("qdrant", signal.SIGTERM)
    await asyncio.sleep(OUTAGE_SECONDS)
    await stack.restart("qdrant")


async def _committed(admin: KafkaAdmin, peer: Peer) -> int:
    return sum((await admin.committed(peer.group, PRODUCT_CHANGES)).values())


async def _until_committed(admin: KafkaAdmin, peer: Peer, end: int) -> None:
    async def reached() -> bool:
        return await _committed(admin, peer) >= end

    await _until(peer, reached)


async def _until(peer: Peer, reached: Callable[[], Awaitable[bool]]) -> None:
    """Patience is counted from the last record that it applied."""
    most, progressed = -1, time.monotonic()
    while not await reached():
        applied = await peer.applied()
        if applied > most:
            most, progressed = applied, time.monotonic()
        if time.monotonic() - progressed > PATIENCE_SECONDS:
            raise BrokerError(
                f"{peer.name} has stood at {most} records for {PATIENCE_SECONDS:.0f} s", hint="see its log"
            )
        await asyncio.sleep(LOOK_EVERY_SECONDS)
