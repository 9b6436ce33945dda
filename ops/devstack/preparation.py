"""What running servers need before a worker can work: database, roles, topics, collection; then the connector."""

import asyncio

import asyncpg

from connectors.debezium.roles import apply_roles
from connectors.kafka import KafkaAdmin
from connectors.postgres_errors import source_errors
from ops.collections import ensure_collection
from ops.commands.connector import apply_connector
from ops.demo.table import apply_catalogue
from ops.devstack.home import Passwords
from ops.settings import Settings
from streams.topics import DECLARATIONS

BROKER_SECONDS = 60.0
CONNECTOR_SECONDS = 90.0


async def prepare(settings: Settings, *, admin_dsn: str | None, database: str, passwords: Passwords) -> None:
    """Bring database, topics and collection into the shape that the worker expects. Safe to repeat.

    `admin_dsn` is a superuser's, in the server's own database; None leaves the database as it is, which is right for
    one that is not ours.

    Raises:
        LockstepError: A part refuses, or cannot be reached; its message says which.
    """
    if admin_dsn is not None:
        await _prepare_database(admin_dsn, database, passwords)
    await asyncio.gather(_prepare_topics(settings), ensure_collection(settings))


async def start_capture(settings: Settings) -> None:
    """Apply the connector and wait until it runs; after `prepare`, since Debezium would create topics by defaults.

    Raises:
        BrokerError: Connect refuses, cannot be reached, or the connector fails.
    """
    await apply_connector(settings, CONNECTOR_SECONDS)


async def _prepare_database(admin_dsn: str, database: str, passwords: Passwords) -> None:
    with source_errors(f"create database {database}"):
        connection = await asyncpg.connect(admin_dsn, timeout=10.0, command_timeout=60.0)
        try:
            if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", database):
                await connection.execute(f'CREATE DATABASE "{database}"')
        finally:
            await connection.close(timeout=10.0)
    dsn = f"{admin_dsn.rpartition('/')[0]}/{database}"
    await apply_catalogue(dsn)
    await apply_roles(dsn, debezium_password=passwords.debezium, lockstep_password=passwords.lockstep)


async def _prepare_topics(settings: Settings) -> None:
    async with KafkaAdmin(settings.kafka.brokers) as admin:
        await admin.wait_until_ready(BROKER_SECONDS)
        await admin.apply(DECLARATIONS, replication=settings.kafka.replication)
