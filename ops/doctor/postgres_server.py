"""Checks of Postgres as a server: its settings, the slot, the standbys, and what holds WAL back."""

from connectors.debezium.config import CONNECTOR_NAME, SLOT_NAME
from connectors.postgres_setup import CaptureSlot, DatabaseSetup, PostgresSetup
from ops.doctor.finding import Check, Findings, problem, warning

MIN_VERSION = 150_000
"""15: before it a publication tells less of itself than these checks need."""
FAILOVER_VERSION = 170_000
KEEP_MB = 1024
"""Less WAL than this is gone after a short outage of the broker while the database is busy."""
NEARLY_LOST = 0.25
"""Of `max_slot_wal_keep_size`, what is left when it is said."""
HELD_BYTES = 5 * 1024**3
"""By our slot, where no setting limits it."""
OTHERS_HOLD_BYTES = 1024**3
IDLE_SECONDS = 300.0
LONG_SECONDS = 3600.0
SKEW_SECONDS = 2.0

_RELOAD = "SELECT pg_reload_conf();"
_RESTART = "-- then restart Postgres"
_CONNECTOR = f"$LOCKSTEP_CONNECT_URL/connectors/{CONNECTOR_NAME}"
_FAILOVER_SLOT = (
    f'curl -X PUT "{_CONNECTOR}/stop"',
    f'psql "$ADMIN_DSN?replication=database" -c "ALTER_REPLICATION_SLOT {SLOT_NAME} (FAILOVER true)"',
    f'curl -X PUT "{_CONNECTOR}/resume"',
    "-- and on the standby: sync_replication_slots = on, hot_standby_feedback = on",
)


def check_version(server: PostgresSetup) -> Findings:
    """Older servers were never tried."""
    if server.version < MIN_VERSION:
        yield problem(
            f"Postgres {server.version // 10_000} is too old: 15 is the least", "upgrade Postgres to 15 or newer"
        )


def check_primary(server: PostgresSetup) -> Findings:
    """A standby refuses the writes of catalogue and signals."""
    if server.in_recovery:
        yield problem(
            "LOCKSTEP_POSTGRES_DSN names a standby, which takes no writes", "set LOCKSTEP_POSTGRES_DSN to the primary"
        )


def check_wal_level(server: PostgresSetup) -> Findings:
    """Debezium reads the WAL by logical decoding."""
    level = server.settings.get("wal_level")
    if level != "logical":
        yield problem(f"wal_level is {level}, not logical", f"ALTER SYSTEM SET wal_level = 'logical';\n{_RESTART}")


def check_wal_kept(server: PostgresSetup) -> Findings:
    """Without a limit a stopped connector fills the disk; with a small one a short outage loses the slot."""
    keep_mb = int(server.settings.get("max_slot_wal_keep_size", "-1"))
    if keep_mb < 0:
        yield warning(
            "max_slot_wal_keep_size has no limit: while capture stands still, WAL fills the database's disk",
            f"ALTER SYSTEM SET max_slot_wal_keep_size = '50GB';\n{_RELOAD}",
        )
    elif keep_mb < KEEP_MB:
        yield warning(
            f"max_slot_wal_keep_size is {keep_mb} MB: a short stop of capture loses the slot, and deletes with it",
            f"ALTER SYSTEM SET max_slot_wal_keep_size = '50GB';\n{_RELOAD}",
        )


def check_idle_timeout(server: PostgresSetup) -> Findings:
    """Postgres 18 can invalidate a slot that nobody reads."""
    if server.settings.get("idle_replication_slot_timeout", "0") != "0":
        yield warning(
            "idle_replication_slot_timeout ends the slot when capture stands still for that long",
            f"ALTER SYSTEM SET idle_replication_slot_timeout = 0;\n{_RELOAD}",
        )


def check_room_for_slots(server: PostgresSetup) -> Findings:
    """A slot or a sender that is not free keeps a connector from coming back."""
    slots = int(server.settings.get("max_replication_slots", "0"))
    # Ours counts as used whether it is there or not.
    if slots <= len(server.other_slots) + 1:
        yield warning(
            f"all {slots} replication slots are in use or needed: max_replication_slots has no room",
            f"ALTER SYSTEM SET max_replication_slots = {slots + 8};\n{_RESTART}",
        )
    senders = int(server.settings.get("max_wal_senders", "0"))
    if senders <= server.senders:
        yield warning(
            f"all {senders} WAL senders are in use: a connector that restarts finds none",
            f"ALTER SYSTEM SET max_wal_senders = {senders + 8};\n{_RESTART}",
        )


def check_other_slots(server: PostgresSetup) -> Findings:
    """A forgotten slot fills the disk that ours writes to."""
    for slot in server.other_slots:
        if not slot.active and (slot.held_bytes or 0) > OTHERS_HOLD_BYTES:
            yield warning(
                f"slot {slot.name}, which nobody reads, holds {_mib(slot.held_bytes)} of WAL",
                f"SELECT pg_drop_replication_slot('{slot.name}');",
            )


def check_transactions(server: PostgresSetup) -> Findings:
    """Changes of an open transaction, and all WAL since it began, wait for its end."""
    oldest = server.oldest_transaction
    if oldest is None:
        return
    idle = oldest.state.startswith("idle in transaction") or oldest.pid is None
    if oldest.age_seconds > (IDLE_SECONDS if idle else LONG_SECONDS):
        which = f"a transaction of {oldest.who} (pid {oldest.pid})" if oldest.pid else f"prepared {oldest.who}"
        end = f"SELECT pg_terminate_backend({oldest.pid});" if oldest.pid else f"ROLLBACK PREPARED '{oldest.who}';"
        yield warning(
            f"{which} is open for {oldest.age_seconds / 60:,.0f} minutes, {oldest.state}: WAL is held back for it", end
        )


def check_clock(server: PostgresSetup) -> Findings:
    """Ages are the difference of two machines' clocks."""
    ahead = server.clock_ahead_seconds
    if abs(ahead) > SKEW_SECONDS + server.clock_unsure_seconds:
        yield warning(
            f"Postgres's clock is {abs(ahead):.1f} s {'ahead of' if ahead > 0 else 'behind'} this machine's: ages are "
            "wrong by as much",
            "set both clocks by NTP: chronyc tracking",
        )


def check_standbys(server: PostgresSetup, slot: CaptureSlot) -> Findings:
    """Without its failover flag and synchronized_standby_slots, changes come that never were, and others do not."""
    if not server.standbys or server.version < FAILOVER_VERSION:
        return
    if not slot.slot.failover:
        yield warning(
            f"slot {SLOT_NAME} does not survive a failover, and there is a standby",
            "\n".join(_FAILOVER_SLOT),
        )
    if not _synchronized(server):
        yield warning(
            "synchronized_standby_slots is empty: Debezium may publish what the standby never gets",
            _wait_for_standbys(server),
        )


def check_synchronized_slots(server: PostgresSetup) -> Findings:
    """A name there that is no physical slot in use stops the capture, without an error."""
    physical = {slot.name: slot for slot in server.other_slots if slot.physical}
    for name in _synchronized(server):
        if name in physical and physical[name].active:
            continue
        wrong = "which no standby reads" if name in physical else "which is no physical slot"
        yield problem(
            f"synchronized_standby_slots names {name}, {wrong}: capture waits for it for ever",
            _wait_for_standbys(server),
        )


def _wait_for_standbys(server: PostgresSetup) -> str:
    physical = ", ".join(slot.name for slot in server.other_slots if slot.physical and slot.active)
    return (
        f"ALTER SYSTEM SET synchronized_standby_slots = '{physical or '<the physical slot of a standby>'}';\n{_RELOAD}"
    )


def _synchronized(server: PostgresSetup) -> list[str]:
    names = server.settings.get("synchronized_standby_slots", "")
    return [name for part in names.split(",") if (name := part.strip().strip('"'))]


def check_slot_exists(database: DatabaseSetup) -> Findings:
    """A slot that is gone took with it the deletes that it had not given."""
    if database.slot is None:
        yield problem(
            f"slot {SLOT_NAME} does not exist: nothing is captured",
            "lockstep connector apply\nlockstep connector restart\nlockstep reconcile --fix",
        )


def check_slot_is_ours(server: PostgresSetup, slot: CaptureSlot) -> Findings:
    """A slot of this name in another database, or with another plugin, is not the connector's."""
    found = slot.slot
    drop = f"SELECT pg_drop_replication_slot('{SLOT_NAME}');\nlockstep connector restart"
    if found.physical or found.plugin != "pgoutput":
        yield problem(f"slot {SLOT_NAME} has plugin {found.plugin or 'none'}, not pgoutput", drop)
    elif found.database != server.database:
        yield problem(f"slot {SLOT_NAME} is of database {found.database}, not {server.database}", drop)


def check_slot_is_kept(slot: CaptureSlot) -> Findings:
    """A lost slot is lost with every change that it had not given yet."""
    found = slot.slot
    if found.wal_status == "lost" or found.invalidation_reason:
        yield problem(
            f"slot {SLOT_NAME} is lost ({found.invalidation_reason or 'its WAL is gone'}): changes since are missing",
            f"SELECT pg_drop_replication_slot('{SLOT_NAME}');\nlockstep connector restart\nlockstep reconcile --fix",
        )
    elif found.wal_status == "unreserved":
        yield problem(
            f"slot {SLOT_NAME} is about to be lost: its WAL is beyond max_slot_wal_keep_size",
            f"ALTER SYSTEM SET max_slot_wal_keep_size = '100GB';\n{_RELOAD}\nlockstep connector restart",
        )


def check_slot_is_read(slot: CaptureSlot) -> Findings:
    """Nothing is captured while nobody reads the slot."""
    found = slot.slot
    if not found.active and found.wal_status != "lost":
        yield problem(
            f"slot {SLOT_NAME} is not read: nothing is captured, and {_mib(found.held_bytes)} of WAL wait",
            "lockstep connector restart",
        )


def check_slot_lag(server: PostgresSetup, slot: CaptureSlot) -> Findings:
    """Said while there is still time: before the slot is lost, or where it has no limit, before the disk is full."""
    held = slot.slot.held_bytes or 0
    keep_bytes = int(server.settings.get("max_slot_wal_keep_size", "-1")) * 1024**2
    safe = slot.slot.safe_bytes
    if keep_bytes > 0 and safe is not None and 0 <= safe < NEARLY_LOST * keep_bytes:
        yield warning(
            f"slot {SLOT_NAME} is lost after {_mib(safe)} more of WAL",
            f"ALTER SYSTEM SET max_slot_wal_keep_size = '100GB';\n{_RELOAD}\nlockstep connector status",
        )
    elif keep_bytes < 0 and held > HELD_BYTES:
        yield warning(f"slot {SLOT_NAME} holds {_mib(held)} of WAL back", "lockstep connector status")


def _mib(size_bytes: int | None) -> str:
    return f"{(size_bytes or 0) / 1024**2:,.0f} MiB"


CHECKS = (
    Check("Postgres is 15 or newer", check_version, (PostgresSetup,)),
    Check("it is the primary", check_primary, (PostgresSetup,)),
    Check("wal_level is logical", check_wal_level, (PostgresSetup,)),
    Check("max_slot_wal_keep_size has a sensible limit", check_wal_kept, (PostgresSetup,)),
    Check("no slot is ended for idling", check_idle_timeout, (PostgresSetup,)),
    Check("slots and WAL senders are free", check_room_for_slots, (PostgresSetup,)),
    Check("no forgotten slot holds WAL", check_other_slots, (PostgresSetup,)),
    Check("no old transaction holds WAL back", check_transactions, (PostgresSetup,)),
    Check("Postgres's clock is this machine's", check_clock, (PostgresSetup,)),
    Check("synchronized_standby_slots names slots in use", check_synchronized_slots, (PostgresSetup,)),
    Check("a failover keeps the slot", check_standbys, (PostgresSetup, CaptureSlot)),
    Check(f"slot {SLOT_NAME} exists", check_slot_exists, (DatabaseSetup,)),
    Check(f"slot {SLOT_NAME} is of this database and of pgoutput", check_slot_is_ours, (PostgresSetup, CaptureSlot)),
    Check(f"slot {SLOT_NAME} is not lost", check_slot_is_kept, (CaptureSlot,)),
    Check(f"slot {SLOT_NAME} is read", check_slot_is_read, (CaptureSlot,)),
    Check(f"slot {SLOT_NAME} is not nearly lost", check_slot_lag, (PostgresSetup, CaptureSlot)),
)
