"""`lockstep connector`: capture, set up and looked at through Kafka Connect's REST."""

import asyncio
from dataclasses import asdict
from typing import Annotated
from urllib.parse import parse_qs, unquote, urlsplit

import typer
from rich.markup import escape
from rich.table import Table

from connectors.debezium.config import CONNECTOR_NAME, SLOT_NAME, connector_config
from connectors.debezium.connect import ConnectClient, ConnectorStatus
from connectors.debezium.failures import failure_hint, failure_reason
from ops.settings import Settings, load_settings
from ops.terminal import ExitCode, out, print_json
from schemas.errors import SettingsError
from streams.topics import PRODUCT_CHANGES

commands = typer.Typer(name="connector", help="Set up capture: Debezium on Kafka Connect.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the group to `lockstep`."""
    app.add_typer(commands)


def config_from(settings: Settings) -> dict[str, str]:
    """The connector's configuration for these settings.

    Raises:
        SettingsError: LOCKSTEP_POSTGRES_DSN does not say host and database.
    """
    host, port, database = _address(settings.postgres.dsn.get_secret_value())
    return connector_config(
        postgres_host=settings.connect.postgres_host or host,
        postgres_port=settings.connect.postgres_port or port,
        database=database,
        kafka_brokers=settings.connect.kafka_brokers or settings.kafka.brokers,
        replication=settings.kafka.replication,
    )


def _address(dsn: str) -> tuple[str, int, str]:
    try:
        parts = urlsplit(dsn)
        options = parse_qs(parts.query)
        host = parts.hostname or options.get("host", [""])[0]
        port = parts.port or int(options.get("port", ["5432"])[0])
    except ValueError as error:
        raise _dsn_error() from error
    database = unquote(parts.path.lstrip("/"))
    if not host or not database:
        raise _dsn_error()
    return host, port, database


def _dsn_error() -> SettingsError:
    return SettingsError(
        "setting LOCKSTEP_POSTGRES_DSN is wrong: no host or no database in it",
        hint="write it as postgresql://user:password@host:port/database",
    )


async def apply_connector(settings: Settings, timeout_seconds: float = 60.0) -> ConnectorStatus:
    """Put the connector there and wait until its task runs. Safe to repeat; a failed task is started again.

    Raises:
        BrokerError: Connect cannot be reached or refuses the configuration, or the task fails.
    """
    async with ConnectClient(settings.connect.url) as connect:
        await connect.apply(CONNECTOR_NAME, config_from(settings))
        status = await connect.status(CONNECTOR_NAME)
        if status and status.failed:
            # Connect leaves a failed task alone when its configuration is the one it had.
            await connect.restart(CONNECTOR_NAME, only_failed=True)
        return await connect.wait_until_running(CONNECTOR_NAME, timeout_seconds)


@commands.command()
def apply(
    timeout: Annotated[float, typer.Option(min=1, help="Seconds to wait until the task runs.")] = 60.0,
    json: Annotated[bool, typer.Option("--json", help="Print the status as JSON.")] = False,
) -> None:
    """Create or update the connector, and wait until its task runs.

    Safe to repeat.

    Example: lockstep connector apply
    """
    _report(asyncio.run(apply_connector(load_settings(), timeout)), json)


@commands.command()
def status(json: Annotated[bool, typer.Option("--json", help="Print the status as JSON.")] = False) -> None:
    """Show how the connector and its task run; exit code 1 unless they do.

    Example: lockstep connector status --json
    """

    async def read() -> ConnectorStatus | None:
        async with ConnectClient(load_settings().connect.url) as connect:
            return await connect.status(CONNECTOR_NAME)

    _report(asyncio.run(read()), json)


@commands.command()
def restart(
    timeout: Annotated[float, typer.Option(min=1, help="Seconds to wait until the task runs.")] = 60.0,
    json: Annotated[bool, typer.Option("--json", help="Print the status as JSON.")] = False,
) -> None:
    """Restart the connector and its task, also one that was paused or stopped, and wait until it runs.

    Example: lockstep connector restart
    """

    async def run() -> ConnectorStatus:
        async with ConnectClient(load_settings().connect.url) as connect:
            await connect.restart(CONNECTOR_NAME)
            return await connect.wait_until_running(CONNECTOR_NAME, timeout)

    _report(asyncio.run(run()), json)


@commands.command()
def remove(
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print what was done as JSON; needs --yes.")] = False,
) -> None:
    """Take the connector away; slot, publication, topics and rows stay.

    Example: lockstep connector remove --yes
    """
    settings = load_settings()
    if json and not yes:
        raise typer.BadParameter("--json cannot ask: give --yes too")
    if not yes:
        typer.confirm(f"Remove connector {CONNECTOR_NAME}? Changes are no longer captured.", abort=True)

    async def run() -> bool:
        async with ConnectClient(settings.connect.url) as connect:
            return await connect.remove(CONNECTOR_NAME)

    removed = asyncio.run(run())
    stays = {"slot": SLOT_NAME, "publication": SLOT_NAME, "topic": PRODUCT_CHANGES}
    if json:
        print_json({"connector": CONNECTOR_NAME, "removed": removed, "stays": stays})
        return
    out.print(f"connector {CONNECTOR_NAME} {'removed' if removed else 'was not there'}")
    out.print(
        f"Its slot {SLOT_NAME}, topic {PRODUCT_CHANGES}\n"
        "and Connect's offsets stay: `lockstep connector apply` goes on where it stopped.\n"
        "The slot keeps WAL on the database's disk. If capture is to end for good:\n"
        f"  SELECT pg_drop_replication_slot('{SLOT_NAME}');"
    )


def _report(status: ConnectorStatus | None, json: bool) -> None:
    if json:
        print_json({"connector": None} if status is None else asdict(status) | {"running": status.running})
    elif status is None:
        out.print(f"connector {CONNECTOR_NAME} is not there; create it with `lockstep connector apply`", soft_wrap=True)
    else:
        _print_status(status)
    if status is None or not status.running:
        raise typer.Exit(ExitCode.FOUND_WRONG)


def _print_status(status: ConnectorStatus) -> None:
    table = Table("part", "state", "worker", box=None, pad_edge=False)
    table.add_row(f"connector {status.name}", status.state, status.worker)
    for task in status.tasks:
        table.add_row(f"task {task.id}", task.state, task.worker)
    out.print(table)
    if status.failure is not None:
        out.print(f"reason: {escape(failure_reason(status.failure))}", soft_wrap=True)
        if hint := failure_hint(status.failure):
            out.print(f"Try: {escape(hint)}", soft_wrap=True)
        out.print(escape(status.failure), soft_wrap=True)
