"""Reads every system, all at once, and runs the checks over what could be read."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from connectors.debezium.config import CONNECTOR_NAME, SLOT_NAME
from connectors.debezium.connect_setup import ConnectorSetup, ConnectReader
from connectors.postgres_setup import CaptureSlot, DatabaseSetup, PostgresSetup, Publication, Roles, TableSetup
from connectors.postgres_setup import read_setup as read_database
from connectors.qdrant import open_client
from connectors.qdrant_setup import CollectionSetup, QdrantSetup
from connectors.qdrant_setup import read_setup as read_qdrant
from ops.commands.connector import config_from
from ops.doctor import broker, capture, end_to_end, postgres_server, postgres_table, qdrant
from ops.doctor.broker_setup import BrokerSetup, SourceSetup, read_broker
from ops.doctor.capture import CaptureSetup
from ops.doctor.finding import Examination, Finding, Severity, examine
from ops.doctor.qdrant import Needs
from ops.settings import Settings
from schemas.errors import LockstepError

WITHIN_SECONDS = 45.0
"""More than every reader's own patience: a part that neither answers nor refuses."""
CONNECT_SECONDS = 10.0

Reading = Mapping[type, Any]
"""What was read, each value under its type."""
Reader = Callable[[Settings], Awaitable[Reading]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What the doctor found, by system, in the order of the data's way."""

    at: datetime
    examinations: tuple[Examination, ...]

    def count(self, severity: Severity) -> int:
        """How many findings there are of a severity."""
        return sum(finding.severity is severity for of in self.examinations for finding in of.findings)

    @property
    def passed(self) -> int:
        """How many checks found nothing."""
        return sum(len(of.passed) for of in self.examinations)


async def _read_postgres(settings: Settings) -> Reading:
    dsn = settings.postgres.dsn.get_secret_value()
    database = await read_database(dsn, slot=SLOT_NAME, publication=postgres_table.PUBLICATION)
    return _by_type(
        (DatabaseSetup, database),
        (PostgresSetup, database.server),
        (CaptureSlot, database.slot),
        (TableSetup, database.table),
        (Publication, database.publication),
        (Roles, database.roles),
    )


async def _read_capture(settings: Settings) -> Reading:
    wanted = config_from(settings)
    async with ConnectReader(
        settings.connect.url, timeout_seconds=CONNECT_SECONDS, patience_seconds=CONNECT_SECONDS
    ) as connect:
        connector = await connect.setup(CONNECTOR_NAME)
    return _by_type((CaptureSetup, CaptureSetup(connector=connector, wanted=wanted)), (ConnectorSetup, connector))


async def _read_broker(settings: Settings) -> Reading:
    broker_setup, source = await read_broker(settings.kafka.brokers)
    return _by_type((BrokerSetup, broker_setup), (SourceSetup, source))


async def _read_qdrant(settings: Settings) -> Reading:
    of = settings.qdrant
    api_key = of.api_key.get_secret_value() if of.api_key else None
    async with open_client(of.url, api_key=api_key, timeout_seconds=of.timeout_seconds) as client:
        server, collection = await read_qdrant(client, of.alias)
    return _by_type((QdrantSetup, server), (CollectionSetup, collection), (Needs, Needs(settings.worker.batch_records)))


def _by_type(*values: tuple[type, Any]) -> Reading:
    return {kind: value for kind, value in values if value is not None}


READERS: Mapping[str, Reader] = {
    "postgres": _read_postgres,
    "capture": _read_capture,
    "broker": _read_broker,
    "qdrant": _read_qdrant,
}
CHECKS = {
    "postgres": postgres_server.CHECKS + postgres_table.CHECKS,
    "capture": capture.CHECKS,
    "broker": broker.CHECKS,
    "qdrant": qdrant.CHECKS,
    "end to end": end_to_end.CHECKS,
}


async def run_doctor(settings: Settings, readers: Mapping[str, Reader] = READERS) -> Report:
    """Look at every system and judge it; changes nothing.

    A system that cannot be asked is one finding, and hides no other: checks that need it are left out.

    Raises:
        SettingsError: LOCKSTEP_POSTGRES_DSN does not say host and database.
    """
    config_from(settings)
    answers = await asyncio.gather(*(_ask(reader, settings) for reader in readers.values()))
    read: dict[type, Any] = {}
    unreachable: dict[str, Finding] = {}
    for system, answer in zip(readers, answers, strict=True):
        if isinstance(answer, Finding):
            unreachable[system] = answer
        else:
            read |= answer
    read |= await _second_look(settings, readers, read)
    examinations = [examine(group, checks, read) for group, checks in CHECKS.items()]
    return Report(
        at=datetime.now(UTC),
        examinations=tuple(
            Examination(group=of.group, findings=(unreachable[of.group],)) if of.group in unreachable else of
            for of in examinations
        ),
    )


async def _ask(reader: Reader, settings: Settings) -> Reading | Finding:
    try:
        async with asyncio.timeout(WITHIN_SECONDS):
            return await reader(settings)
    except TimeoutError:
        return Finding(severity=Severity.UNREACHABLE, says=f"no answer within {WITHIN_SECONDS:g} s", mend=None)
    except LockstepError as error:
        return Finding(severity=Severity.UNREACHABLE, says=str(error), mend=error.hint)


async def _second_look(settings: Settings, readers: Mapping[str, Reader], read: Reading) -> Reading:
    """Postgres again, where the connector seemed to be ahead: under writes it is, when Postgres was asked first."""
    if ConnectorSetup not in read or PostgresSetup not in read:
        return {}
    if not end_to_end.offset_is_ahead(read[ConnectorSetup], read[PostgresSetup]):
        return {}
    again = await _ask(readers["postgres"], settings)
    return {} if isinstance(again, Finding) else again
