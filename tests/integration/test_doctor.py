"""The doctor on a real stack: nothing is wrong with it, and what is broken is found and mended by its own remedy."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from dataclasses import replace

import asyncpg
import pytest
from pydantic import SecretStr
from tenacity import AsyncRetrying, retry_if_result, stop_after_delay, wait_fixed

from connectors.debezium.roles import apply_roles
from connectors.kafka import KafkaAdmin
from connectors.qdrant import open_client
from ops.devstack.stack import Stack
from ops.doctor.finding import Finding, Severity
from ops.doctor.run import Report, run_doctor
from ops.settings import PostgresSettings, Settings
from ops.stores import open_store
from streams.topics import DECLARATIONS, SIGNALS

pytestmark = pytest.mark.stack


@pytest.fixture
def catalogue_dsn(stack: Stack) -> str:
    """The superuser in the catalogue's database."""
    assert stack.admin_dsn is not None
    return f"{stack.admin_dsn.rpartition('/')[0]}/shop"


@pytest.fixture
async def superuser(stack: Stack, catalogue_dsn: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection that may break things; afterwards roles, identity and publication are as they were."""
    connection = await asyncpg.connect(catalogue_dsn)
    yield connection
    await connection.close()
    await run_roles_sql(stack, catalogue_dsn)


async def run_roles_sql(stack: Stack, catalogue_dsn: str) -> None:
    passwords = stack.home.passwords()
    await apply_roles(catalogue_dsn, debezium_password=passwords.debezium, lockstep_password=passwords.lockstep)


def findings(report: Report, *severities: Severity) -> list[Finding]:
    return [finding for of in report.examinations for finding in of.findings if finding.severity in severities]


async def troubles(settings: Settings) -> list[Finding]:
    return findings(await run_doctor(settings), Severity.PROBLEM, Severity.UNREACHABLE)


async def assert_healthy(stack: Stack) -> None:
    """Soon: the first heartbeat comes two seconds after the connector, and a test before may have left some lag."""
    patient = AsyncRetrying(
        retry=retry_if_result(bool),
        wait=wait_fixed(0.2),
        stop=stop_after_delay(10),
        retry_error_callback=lambda state: state.outcome and state.outcome.result(),
    )
    assert await patient(troubles, stack.settings) == []


async def found(stack: Stack, says: str) -> Finding:
    """The finding that says it; the remedy must be there."""
    report = await run_doctor(stack.settings)
    [finding] = [of for of in findings(report, Severity.PROBLEM, Severity.WARNING) if says in of.says]
    assert finding.mend
    return finding


async def test_nothing_is_wrong_with_the_stack(stack: Stack) -> None:
    await assert_healthy(stack)


@pytest.mark.skipif(shutil.which("curl") is None, reason="the remedy is a call of curl")
async def test_a_payload_index_that_is_gone_is_made_again_by_the_remedy(stack: Stack) -> None:
    async with (
        open_store(stack.settings) as store,
        open_client(stack.settings.qdrant.url, api_key=None, timeout_seconds=10) as client,
    ):
        live = (await store.live_collection()).name
        await client.delete_payload_index(live, "color", wait=True)
        try:
            finding = await found(stack, f"payload index color of {live} is missing")
            environment = os.environ | {"LOCKSTEP_QDRANT_URL": stack.settings.qdrant.url}
            mending = await asyncio.create_subprocess_shell(
                f"{finding.mend} --silent --fail --output /dev/null", env=environment
            )
            assert await mending.wait() == 0
            await assert_healthy(stack)
        finally:
            await store.ensure_indexes(live)


@pytest.mark.parametrize(
    ("break_it", "says"),
    [
        ("ALTER TABLE public.products REPLICA IDENTITY DEFAULT", "is DEFAULT, not FULL"),
        ("ALTER PUBLICATION dbz_products SET (publish = 'insert, update')", "leaves out every delete"),
        ("ALTER PUBLICATION dbz_products DROP TABLE public.debezium_signal", "lacks public.debezium_signal"),
        (
            "ALTER PUBLICATION dbz_products SET TABLE public.products (id, article_id, name), "
            "public.debezium_signal, public.debezium_heartbeat",
            "has a column list for public.products",
        ),
        (
            "ALTER PUBLICATION dbz_products SET TABLE public.products WHERE (name <> 'x'), "
            "public.debezium_signal, public.debezium_heartbeat",
            "filters the rows of public.products",
        ),
    ],
)
async def test_what_is_wrong_in_postgres_is_mended_by_the_sql_of_the_remedy(
    stack: Stack, superuser: asyncpg.Connection, break_it: str, says: str
) -> None:
    await superuser.execute(break_it)
    finding = await found(stack, says)
    statements = [line for line in (finding.mend or "").splitlines() if not line.startswith("lockstep ")]
    await superuser.execute("\n".join(statements))
    await assert_healthy(stack)


async def test_a_privilege_that_was_revoked_is_named_and_given_back_by_the_script(
    stack: Stack, superuser: asyncpg.Connection, catalogue_dsn: str
) -> None:
    await superuser.execute("REVOKE INSERT ON public.debezium_signal FROM lockstep")
    await superuser.execute("ALTER ROLE debezium CREATEROLE")
    excess = await found(stack, "role debezium has CREATEROLE")
    await superuser.execute(excess.mend)
    finding = await found(stack, "role lockstep lacks INSERT ON public.debezium_signal")
    assert "roles.sql" in (finding.mend or "")
    await run_roles_sql(stack, catalogue_dsn)
    report = await run_doctor(stack.settings)
    assert findings(report, Severity.PROBLEM) == []
    assert "the roles have no more than they need" in report.examinations[0].passed


async def test_rows_that_row_level_security_hides_are_shown_again_by_the_policy(
    stack: Stack, superuser: asyncpg.Connection
) -> None:
    await superuser.execute("ALTER TABLE public.products ENABLE ROW LEVEL SECURITY")
    try:
        for role in ("debezium", "lockstep"):
            finding = await found(stack, f"hides rows from {role}")
            await superuser.execute(finding.mend)
        await assert_healthy(stack)
    finally:
        await superuser.execute("ALTER TABLE public.products DISABLE ROW LEVEL SECURITY")
        await superuser.execute("DROP POLICY IF EXISTS debezium_sees_all ON public.products")
        await superuser.execute("DROP POLICY IF EXISTS lockstep_sees_all ON public.products")


async def test_a_transaction_left_open_is_named_with_its_session(
    stack: Stack, superuser: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ops.doctor.postgres_server.IDLE_SECONDS", 0.0)
    async with superuser.transaction():
        pid = await superuser.fetchval("SELECT pg_backend_pid()")
        finding = await found(stack, f"a transaction of postgres (pid {pid})")
    assert str(pid) in (finding.mend or "")


async def test_a_topic_setting_that_drifted_is_set_back_by_topics_apply(stack: Stack) -> None:
    [declared] = [topic for topic in DECLARATIONS if topic.name == SIGNALS]
    async with KafkaAdmin(stack.settings.kafka.brokers) as admin:
        await admin.apply([replace(declared, config={**declared.config, "retention.ms": "3600000"})])
        try:
            finding = await found(stack, f"retention.ms of topic {SIGNALS} is 3600000")
            assert finding.mend == "lockstep topics apply"
        finally:
            await admin.apply(DECLARATIONS)
    await assert_healthy(stack)


async def test_systems_that_cannot_be_asked_are_told_and_the_others_are_looked_at(
    stack: Stack, unused_tcp_port: int
) -> None:
    nobody = f"http://127.0.0.1:{unused_tcp_port}"
    settings = stack.settings
    dsn = settings.postgres.dsn.get_secret_value().replace("lockstep:", "lockstep:wrong-")
    report = await run_doctor(
        settings.model_copy(
            update={
                "qdrant": settings.qdrant.model_copy(update={"url": nobody}),
                "connect": settings.connect.model_copy(update={"url": nobody}),
                "postgres": PostgresSettings(dsn=SecretStr(dsn)),
            }
        )
    )
    unreachable = findings(report, Severity.UNREACHABLE)
    assert [bool(finding.mend) for finding in unreachable] == [True] * 3
    assert "password authentication failed" in unreachable[0].says
    assert not any("wrong-" in finding.says for finding in unreachable)
    [broker] = [of for of in report.examinations if of.group == "broker"]
    assert broker.passed
