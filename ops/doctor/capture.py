"""Checks of the connector: that it runs, and that its configuration is ours."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from connectors.debezium.config import CONNECTOR_NAME, MAX_REQUEST_BYTES
from connectors.debezium.connect_setup import ConnectorSetup
from connectors.debezium.failures import failure_hint, failure_reason
from ops.doctor.finding import Check, Findings, problem, warning

APPLY = "lockstep connector apply"
DEFAULT_REQUEST_BYTES = 1024 * 1024
"""What a Kafka producer sends at most when it is told nothing."""

HEARTBEAT_INTERVAL = "heartbeat.interval.ms"
REQUEST_SIZE = "producer.override.max.request.size"
PASSWORD = "database.password"


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptureSetup:
    """The connector, and the configuration that these settings ask for."""

    connector: ConnectorSetup | None
    wanted: Mapping[str, str]


VITAL: Mapping[str, str] = {
    "table.include.list": "products is not captured, or more than it",
    "topic.prefix": "changes go to another topic",
    "message.key.columns": "records have another key than article_id",
    "slot.name": "it reads another slot",
    "publication.name": "it reads another publication",
    "database.dbname": "it reads another database",
    "plugin.name": "it needs pgoutput",
    "decimal.handling.mode": "prices lose their exactness, or cannot be read",
    "tombstones.on.delete": "compaction never drops a deleted row",
    "skipped.operations": "operations are left out",
    "snapshot.mode": "it does not come back after a lost slot",
    "signal.enabled.channels": "signals of reconcile and retry are not read",
    "signal.data.collection": "signals of reconcile and retry are not read",
    "heartbeat.action.query": "WAL piles up while only other tables change",
    "errors.tolerance": "it skips what it cannot convert, and says nothing",
    "unavailable.value.placeholder": "a value that was not sent is taken for text",
    "transforms": "records have another form",
    "transforms.unwrap.type": "records have another form",
    "transforms.unwrap.delete.tombstone.handling.mode": "deletes do not arrive as deletes",
    "transforms.unwrap.add.fields": "records lack their operation",
    "transforms.unwrap.add.headers": "tombstones lack their place in the WAL",
    "transforms.unwrap.replace.null.with.default": "a null arrives as the column's default",
    "transforms.unwrap.predicate": "records have another form",
    "predicates.isProducts.pattern": "records have another form",
    "value.converter.replace.null.with.default": "a null arrives as the column's default",
    "key.converter": "keys cannot be read",
    "key.converter.schemas.enable": "keys cannot be read",
    "value.converter": "values cannot be read",
    "value.converter.schemas.enable": "values cannot be read",
    # Ours has none of these.
    "column.include.list": "columns are left out",
    "column.exclude.list": "columns are left out",
    "table.exclude.list": "it cannot stand beside table.include.list",
    "snapshot.select.statement.overrides": "snapshots leave rows out",
}
"""What comes of it when such an option is not ours."""

IGNORED: tuple[tuple[str, str], ...] = (
    (r"database\.server\.name", "topic.prefix"),
    (r"(transforms\..+\.)?delete\.handling\.mode", "delete.tombstone.handling.mode"),
    (r"(transforms\..+\.)?drop\.tombstones", "delete.tombstone.handling.mode"),
    (r"(transforms\..+\.)?add\.source\.fields", "add.fields"),
    (r"(transforms\..+\.)?operation\.header", "add.headers"),
    (r"table\.(whitelist|blacklist)", "table.include.list"),
    (r"column\.(whitelist|blacklist)", "column.include.list"),
    (r"schema\.(whitelist|blacklist)", "schema.include.list"),
    (r"slot\.drop_on_stop", "slot.drop.on.stop"),
    (r"toasted\.value\.placeholder", "unavailable.value.placeholder"),
    (r"heartbeat\.topics\.prefix", "topic.heartbeat.prefix"),
    (r"sanitize\.field\.names", "field.name.adjustment.mode"),
    (r"include\.schema\.changes", "nothing: Postgres has no schema change topic"),
    (r"database\.history\..+", "nothing: Postgres needs no history"),
    (r"errors\.deadletterqueue\..+", "nothing: only sinks have a dead-letter queue"),
)
"""Options that Debezium 3 accepts and ignores, and what does what they did."""

_JUDGED_APART = frozenset({"name", PASSWORD, HEARTBEAT_INTERVAL, REQUEST_SIZE})
_SECRET = re.compile(r"password|secret|token|jaas|passphrase|private", re.IGNORECASE)


def check_presence(capture: CaptureSetup) -> Findings:
    """Without a connector nothing is captured."""
    if capture.connector is None:
        yield problem(f"connector {CONNECTOR_NAME} does not exist: nothing is captured", APPLY)


def check_running(connector: ConnectorSetup) -> Findings:
    """A failed or paused task stays so until a person acts."""
    status = connector.status
    if status.running:
        return
    if status.failed:
        trace = status.failure or ""
        yield problem(
            f"connector {status.name} failed: {failure_reason(trace)}",
            failure_hint(trace) or "lockstep connector restart",
        )
    else:
        tasks = ", ".join(task.state for task in status.tasks) or "no task"
        yield problem(f"connector {status.name} does not run: {status.state}, {tasks}", "lockstep connector restart")


def check_drift(connector: ConnectorSetup, capture: CaptureSetup) -> Findings:
    """Option by option: whoever changed one over REST left no trace anywhere else."""
    for option in sorted(connector.config.keys() | capture.wanted.keys()):
        present, wanted = connector.config.get(option), capture.wanted.get(option)
        if present == wanted or option in _JUDGED_APART or _replacement(option):
            continue
        says = f"connector option {option} is {_shown(option, present)}, ours is {_shown(option, wanted)}"
        if (means := VITAL.get(option)) is not None:
            yield problem(f"{says}: {means}", APPLY)
        else:
            yield warning(says, APPLY)


def check_ignored_options(connector: ConnectorSetup) -> Findings:
    """Whoever set such an option believes in what it no longer does."""
    for option in sorted(connector.config):
        if (replacement := _replacement(option)) is not None:
            yield warning(
                f"Debezium ignores connector option {option}, and says nothing; instead: {replacement}", APPLY
            )


def check_heartbeat_interval(connector: ConnectorSetup) -> Findings:
    """Without a heartbeat the slot stands still while only other tables change."""
    if _number(connector.config.get(HEARTBEAT_INTERVAL), 0) <= 0:
        yield problem(
            f"connector option {HEARTBEAT_INTERVAL} is off: WAL piles up while only other tables change", APPLY
        )


def check_request_size(connector: ConnectorSetup) -> Findings:
    """A record above the producer's limit fails the task, again after each restart."""
    size = _number(connector.config.get(REQUEST_SIZE), DEFAULT_REQUEST_BYTES)
    if size < MAX_REQUEST_BYTES:
        yield problem(
            f"connector option {REQUEST_SIZE} is {size:,} bytes: a larger row stops capture, ours is "
            f"{MAX_REQUEST_BYTES:,}",
            APPLY,
        )


def check_password(connector: ConnectorSetup) -> Findings:
    """Connect shows a connector's configuration to everybody who may ask."""
    if not connector.config.get(PASSWORD, "${").startswith("${"):
        yield warning(
            f"connector option {PASSWORD} holds the password itself, which Connect's REST shows to anybody",
            f"set DEBEZIUM_DB_PASSWORD for Connect, with config.providers=env\n{APPLY}",
        )


def _replacement(option: str) -> str | None:
    return next((instead for pattern, instead in IGNORED if re.fullmatch(pattern, option)), None)


def _shown(option: str, value: str | None) -> str:
    if value is None:
        return "not set"
    return "***" if _SECRET.search(option) else repr(value)


def _number(text: str | None, default: int) -> int:
    try:
        return default if text is None else int(text)
    except ValueError:
        return default


CHECKS = (
    Check(f"connector {CONNECTOR_NAME} exists", check_presence, (CaptureSetup,)),
    Check("connector and task run", check_running, (ConnectorSetup,)),
    Check("its configuration is ours", check_drift, (ConnectorSetup, CaptureSetup)),
    Check("it has no option that Debezium ignores", check_ignored_options, (ConnectorSetup,)),
    Check("its heartbeat is on", check_heartbeat_interval, (ConnectorSetup,)),
    Check("it may send the largest row", check_request_size, (ConnectorSetup,)),
    Check("its password is not in its configuration", check_password, (ConnectorSetup,)),
)
