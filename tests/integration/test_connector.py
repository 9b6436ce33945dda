"""Capture on a real Kafka Connect: applied, repeated, broken, removed."""

from collections.abc import AsyncIterator
from uuid import uuid4

import asyncpg
import pytest
from tenacity import AsyncRetrying, retry_if_result, stop_after_delay, wait_fixed

from connectors.debezium.config import CONNECTOR_NAME
from connectors.debezium.connect import ConnectClient
from connectors.kafka import KafkaAdmin
from ops.commands.connector import apply_connector, config_from
from ops.devstack.stack import Stack
from schemas.errors import BrokerError, ErrorKind
from streams.topics import DECLARATIONS, PRODUCT_CHANGES

pytestmark = pytest.mark.stack


@pytest.fixture
async def connect(stack: Stack) -> AsyncIterator[ConnectClient]:
    async with ConnectClient(stack.settings.connect.url) as connect:
        yield connect


@pytest.fixture
async def stray(connect: ConnectClient) -> AsyncIterator[str]:
    """The name of a second connector, which is gone afterwards."""
    name = f"test-{uuid4().hex[:8]}"
    yield name
    await connect.remove(name)


async def test_apply_is_safe_to_repeat_and_the_task_runs(stack: Stack) -> None:
    async with KafkaAdmin(stack.settings.kafka.brokers) as admin:
        await admin.apply(DECLARATIONS)
    for _ in range(2):
        status = await apply_connector(stack.settings)
        assert status.running
        assert len(status.tasks) == 1


async def test_a_row_change_reaches_the_topic(stack: Stack) -> None:
    await apply_connector(stack.settings)
    key = f"test-{uuid4().hex[:8]}"
    async with KafkaAdmin(stack.settings.kafka.brokers) as admin:
        before = await _records(admin)
        connection = await asyncpg.connect(stack.settings.postgres.dsn.get_secret_value())
        try:
            await connection.execute("INSERT INTO public.products (article_id, name) VALUES ($1, 'n')", key)
            await connection.execute("DELETE FROM public.products WHERE article_id = $1", key)
        finally:
            await connection.close()
        wanted = before + 3  # the insert, the delete and its tombstone
        await AsyncRetrying(
            retry=retry_if_result(lambda records: records < wanted), wait=wait_fixed(0.1), stop=stop_after_delay(30)
        )(_records, admin)


async def _records(admin: KafkaAdmin) -> int:
    return sum(marks.high for marks in (await admin.watermarks(PRODUCT_CHANGES)).values())


async def test_a_missing_publication_is_named_with_its_remedy(stack: Stack, connect: ConnectClient, stray: str) -> None:
    slot = stray.replace("-", "_")
    broken = config_from(stack.settings) | {
        "publication.name": "no_such_publication",
        "slot.name": slot,
        "topic.prefix": slot,
        "snapshot.mode": "no_data",
        "signal.enabled.channels": "source",
        "notification.enabled.channels": "log",
    }
    await connect.apply(stray, broken)
    with pytest.raises(BrokerError, match=r"[Pp]ublication") as caught:
        await connect.wait_until_running(stray, 60)
    assert caught.value.kind is ErrorKind.OUTAGE
    assert "roles.sql" in (caught.value.hint or "")
    assert not await _slot_exists(stack, slot)


async def test_an_unreachable_database_is_refused_with_its_remedy(
    stack: Stack, connect: ConnectClient, stray: str, unused_tcp_port: int
) -> None:
    wrong = config_from(stack.settings) | {"database.port": str(unused_tcp_port)}
    with pytest.raises(BrokerError, match="refused") as caught:
        await connect.apply(stray, wrong)
    assert "LOCKSTEP_CONNECT_POSTGRES_PORT" in (caught.value.hint or "")


async def test_restart_brings_the_task_back(stack: Stack, connect: ConnectClient) -> None:
    await apply_connector(stack.settings)
    await connect.restart(CONNECTOR_NAME)
    assert (await connect.wait_until_running(CONNECTOR_NAME, 60)).running


async def test_an_unknown_connector_has_no_status_and_is_removed_without_an_error(connect: ConnectClient) -> None:
    assert await connect.status("test-no-such-connector") is None
    assert not await connect.remove("test-no-such-connector")


async def _slot_exists(stack: Stack, slot: str) -> bool:
    connection = await asyncpg.connect(stack.settings.postgres.dsn.get_secret_value())
    try:
        return bool(await connection.fetchval("SELECT count(*) FROM pg_replication_slots WHERE slot_name = $1", slot))
    finally:
        await connection.close()
