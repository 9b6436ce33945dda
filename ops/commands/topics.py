"""`lockstep topics`: the topics that `streams.topics` declares, created, mended and shown, and what stands on them."""

import asyncio
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import orjson
import typer
from rich.table import Table

from connectors.kafka import KafkaAdmin
from connectors.topic_plan import PartitionsDiffer, TopicChange, TopicState, plan_topics
from connectors.topic_tail import Start
from connectors.topic_tail import tail as read_on
from ops.commands import topic_views as views
from ops.commands.dead_letters import parse_time
from ops.dead_letters import key_text
from ops.settings import Settings, load_settings
from ops.terminal import ExitCode, err, out, print_json
from schemas.contracts import HEADERS, contracts
from schemas.errors import SettingsError
from streams.topics import DECLARATIONS, TopicDeclaration

if TYPE_CHECKING:
    from connectors.schema_registry import RegisterSchema, SchemaRegistry

PATIENCE_SECONDS = 5.0
"""How long a command waits for a broker that does not answer; `lockstep up` has its own patience."""

commands = typer.Typer(name="topics", help="Create and look at the topics.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the group to `lockstep`."""
    app.add_typer(commands)


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicReport:
    """A declared topic as it stands; `records` counts offsets, so it is too high where compaction left gaps."""

    name: str
    state: str
    """`ok`, `missing`, or `differs`."""
    differences: tuple[str, ...]
    partitions: int
    records: int
    policy: str
    key: str
    writer: str
    readers: str


@commands.command()
def apply(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would be done, and do nothing.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the changes as JSON.")] = False,
) -> None:
    """Create missing topics and set what differs; partitions are never changed, nothing is deleted.

    With LOCKSTEP_SCHEMA_REGISTRY_URL set, the events' schemas are registered there, as `<topic>-value`. Safe to repeat.
    Exit code 1 if a topic has another number of partitions.

    Example: lockstep topics apply --dry-run
    """
    settings = load_settings()
    changes: list[TopicChange | RegisterSchema] = [*asyncio.run(_apply(settings, dry_run))]
    changes += register_schemas(settings, dry_run)
    if json:
        print_json([{"change": type(change).__name__} | asdict(change) for change in changes])
    else:
        for change in changes:
            (err if isinstance(change, PartitionsDiffer) else out).print(str(change), soft_wrap=True, markup=False)
        out.print(_summary(changes, dry_run))
    if any(isinstance(change, PartitionsDiffer) for change in changes):
        raise typer.Exit(ExitCode.FOUND_WRONG)


@commands.command("list")
def list_topics(json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False) -> None:
    """Show each declared topic; exit code 1 if one is missing or differs.

    Example: lockstep topics list --json
    """
    reports = asyncio.run(_reports(load_settings()))
    if json:
        print_json([asdict(report) for report in reports])
    else:
        _print_reports(reports)
    if any(report.state != "ok" for report in reports):
        raise typer.Exit(ExitCode.FOUND_WRONG)


@commands.command()
def tail(
    topic: Annotated[str, typer.Argument(help="Any topic; events are shown readably.", show_default=False)],
    start: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="beginning|latest|TIME",
            help="A time (2026-11-20T10:00, UTC) or an age (2h, 3d). Default: latest, or with --no-follow beginning.",
            show_default=False,
        ),
    ] = None,
    key: Annotated[str | None, typer.Option("--key", help="Only this article_id.", show_default=False)] = None,
    follow: Annotated[bool, typer.Option(help="Go on as records come, until Ctrl-C.")] = True,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")] = False,
) -> None:
    """Print what stands on a topic: of an event its time, type, key and what changed, in UTC.

    A key's events come in their order; those of different keys may not. Nothing is committed anywhere.

    Example: lockstep topics tail products.changed.v1 --from 2h --key 0108775015
    """
    if not topic.strip():
        raise typer.BadParameter("a topic's name is needed, as `lockstep topics list` prints them", param_hint="TOPIC")
    brokers = load_settings().kafka.brokers
    for records in read_on(brokers, topic, _start(start, follow), follow=follow):
        for record in records:
            if key is not None and key_text(record) != key:
                continue
            if json:
                sys.stdout.write(orjson.dumps(views.as_dict(record), option=orjson.OPT_APPEND_NEWLINE).decode())
            else:
                out.print(views.line(record))
        sys.stdout.flush()  # whoever reads a pipe should not wait for the next record


def _start(text: str | None, follow: bool) -> Start | datetime:
    if text is None:
        return Start.LATEST if follow else Start.BEGINNING
    return Start(text) if text in set(Start) else parse_time(text, datetime.now(UTC), "--from")


def register_schemas(settings: Settings, dry_run: bool) -> "list[RegisterSchema]":
    """Bring the registry that the settings name, if any, to the events' schemas; what was done, or would be.

    Raises:
        SettingsError: A registry is named, and the packages for it are not installed.
        BrokerError: It refuses, or cannot be reached.
    """
    if (url := settings.schema_registry.url) is None:
        return []
    bodies = {name: schema for name, schema in contracts().items() if name != HEADERS}
    with _registry(url.get_secret_value()) as registry:
        return registry.plan(bodies) if dry_run else registry.apply(bodies)


@contextmanager
def _registry(url: str) -> "Iterator[SchemaRegistry]":
    try:
        from connectors.schema_registry import SchemaRegistry
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"LOCKSTEP_SCHEMA_REGISTRY_URL needs a package that is not installed: {error.name}",
            hint="pip install 'lockstep[registry]'",
        ) from error
    with SchemaRegistry(url) as registry:
        yield registry


async def _apply(settings: Settings, dry_run: bool) -> list[TopicChange]:
    async with KafkaAdmin(settings.kafka.brokers) as admin:
        await admin.wait_until_ready(PATIENCE_SECONDS)
        if dry_run:
            return await admin.plan(DECLARATIONS)
        return await admin.apply(DECLARATIONS, replication=settings.kafka.replication)


async def _reports(settings: Settings) -> list[TopicReport]:
    async with KafkaAdmin(settings.kafka.brokers) as admin:
        await admin.wait_until_ready(PATIENCE_SECONDS)
        existing = await admin.describe(declared.name for declared in DECLARATIONS)
        records = {
            name: sum(marks.high - marks.low for marks in (await admin.watermarks(name)).values()) for name in existing
        }
    return [_report(declared, existing, records) for declared in DECLARATIONS]


def _report(declared: TopicDeclaration, existing: Mapping[str, TopicState], records: Mapping[str, int]) -> TopicReport:
    present = existing.get(declared.name)
    differences = plan_topics([declared], existing) if present else []
    return TopicReport(
        name=declared.name,
        state="missing" if present is None else "differs" if differences else "ok",
        differences=tuple(map(str, differences)),
        partitions=present.partitions if present else 0,
        records=records.get(declared.name, 0),
        policy=present.config.get("cleanup.policy", "") if present else "",
        key=declared.key,
        writer=declared.writer,
        readers=declared.readers,
    )


def _summary(changes: "list[TopicChange | RegisterSchema]", dry_run: bool) -> str:
    left = sum(isinstance(change, PartitionsDiffer) for change in changes)
    done = len(changes) - left
    if not changes:
        return f"all {len(DECLARATIONS)} topics are as declared"
    verb = "would be made" if dry_run else "made"
    return f"{done} change{'s' if done != 1 else ''} {verb}" + (f", {left} left to you" if left else "")


def _print_reports(reports: list[TopicReport]) -> None:
    table = Table(box=None, pad_edge=False)
    table.add_column("topic", overflow="fold")
    table.add_column("parts", justify="right")
    table.add_column("records", justify="right")
    table.add_column("policy")
    table.add_column("state")
    for report in reports:
        table.add_row(report.name, str(report.partitions), str(report.records), report.policy, report.state)
    out.print(table)
    for report in reports:
        if report.state == "missing":
            err.print(f"{report.name} is missing: create it with `lockstep topics apply`", soft_wrap=True)
        for difference in report.differences:
            err.print(f"to do: {difference}", soft_wrap=True, markup=False)
