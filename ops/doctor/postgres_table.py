"""Checks of the captured table, the publication, Debezium's own tables and the roles."""

from collections.abc import Mapping, Set

from connectors.debezium.config import SLOT_NAME
from connectors.postgres_setup import (
    HEARTBEAT_TABLE,
    SIGNAL_TABLE,
    TABLE,
    DatabaseSetup,
    PostgresSetup,
    Publication,
    Roles,
    TableSetup,
)
from ops.doctor.finding import Check, Findings, problem, warning
from schemas.product import COLUMNS, TEXT_COLUMNS

PUBLICATION = SLOT_NAME
"""The publication has the slot's name."""
ROLES_SQL = 'psql "$ADMIN_DSN" -v ON_ERROR_STOP=1 --single-transaction -f connectors/debezium/roles.sql'
GENERATED_REFUSED_VERSION = 180_000
NOT_NULL = ("id", "article_id", "name")

_TEXTS = frozenset({"text", "character varying"})
_TYPES: Mapping[str, Set[str]] = {
    "id": frozenset({"bigint", "integer", "smallint"}),
    **dict.fromkeys(TEXT_COLUMNS, _TEXTS),
    "price": frozenset({"numeric"}),
    "created_at": frozenset({"timestamp with time zone"}),
    "updated_at": frozenset({"timestamp with time zone"}),
}
_SIGNAL_TYPES: Mapping[str, Set[str]] = {"id": _TEXTS, "type": _TEXTS, "data": _TEXTS}
_SET_TABLES = f"ALTER PUBLICATION {PUBLICATION} SET TABLE {TABLE}, {SIGNAL_TABLE}, {HEARTBEAT_TABLE};"
_IDENTITIES = {"d": "DEFAULT", "i": "USING INDEX", "n": "NOTHING"}


def check_existence(database: DatabaseSetup) -> Findings:
    """Without table and publication the connector does not start."""
    if database.table is None:
        yield problem(
            f"{TABLE} does not exist in database {database.server.database}, or is not ours to see",
            f'psql "$ADMIN_DSN" -v ON_ERROR_STOP=1 -f ops/demo/catalogue.sql\n{ROLES_SQL}',
        )
    if database.publication is None:
        yield problem(
            f"publication {PUBLICATION} does not exist: the connector does not start",
            f"{ROLES_SQL}\nlockstep connector restart",
        )


def check_identity(table: TableSetup) -> Findings:
    """Only FULL logs the whole old row: under any other a delete, or an update of article_id, may leave a ghost."""
    if table.replica_identity != "f":
        identity = _IDENTITIES.get(table.replica_identity, table.replica_identity)
        yield problem(
            f"replica identity of {TABLE} is {identity}, not FULL: deletes do not name their row",
            f"ALTER TABLE {TABLE} REPLICA IDENTITY FULL;\nlockstep reconcile --fix",
        )


def check_kind(table: TableSetup) -> Findings:
    """Only what is written to the WAL as rows can be captured."""
    if table.kind not in ("r", "p"):
        yield problem(
            f"{TABLE} is no table: views and foreign tables are not captured", "capture the table behind it by its name"
        )
    if table.persistence != "p":
        yield problem(f"{TABLE} is unlogged: nothing of it is captured", f"ALTER TABLE {TABLE} SET LOGGED;")


def check_columns(table: TableSetup) -> Findings:
    """Records without a known column, or with another type in it, are held or set aside."""
    found = {column.name: column for column in table.columns}
    for name in COLUMNS:
        column = found.get(name)
        if column is None:
            yield problem(
                f"{TABLE} has no column {name}: the worker holds every change",
                f"ALTER TABLE {TABLE} ADD COLUMN {name} {_type_of(name)};",
            )
        elif column.type not in _TYPES[name]:
            yield problem(
                f"column {name} of {TABLE} is {column.type}, not {_type_of(name)}",
                f"ALTER TABLE {TABLE} ALTER COLUMN {name} TYPE {_type_of(name)};",
            )
        elif name in NOT_NULL and not column.not_null:
            yield problem(
                f"column {name} of {TABLE} may be null: such a row becomes a dead letter",
                f"ALTER TABLE {TABLE} ALTER COLUMN {name} SET NOT NULL;",
            )


def _type_of(column: str) -> str:
    if column in TEXT_COLUMNS:
        return "text"
    return {"id": "bigint", "price": "numeric(10,2)"}.get(column, "timestamptz")


def check_generated(server: PostgresSetup, table: TableSetup) -> Findings:
    """Generated columns are not published, and under FULL Postgres 18 refuses updates of a table that has one."""
    for column in table.columns:
        if not column.generated:
            continue
        drop = (
            f"ALTER TABLE {TABLE} ALTER COLUMN {column.name} DROP EXPRESSION;\n"
            f"ALTER TABLE {TABLE} DROP COLUMN {column.name};  -- where it is virtual"
        )
        if server.version >= GENERATED_REFUSED_VERSION:
            yield problem(
                f"column {column.name} of {TABLE} is generated: Postgres refuses updates and deletes of the table", drop
            )
        elif column.name in COLUMNS:
            yield problem(f"column {column.name} of {TABLE} is generated: records lack it", drop)
        else:
            yield warning(
                f"column {column.name} of {TABLE} is generated: Postgres 18 will refuse updates of the table", drop
            )


def check_key(table: TableSetup) -> Findings:
    """Two rows of one key would overwrite each other's point."""
    if not table.key_is_unique:
        yield problem(
            f"article_id of {TABLE} is not unique: two rows share one point",
            f"CREATE UNIQUE INDEX CONCURRENTLY products_article_id ON {TABLE} (article_id);",
        )
    if not table.key_has_bytewise_index:
        yield warning(
            f'no index of {TABLE} has article_id in collation "C": every page of a reconcile sorts the table',
            f'CREATE INDEX CONCURRENTLY products_article_id_bytewise ON {TABLE} (article_id COLLATE "C");',
        )


def check_row_security(table: TableSetup) -> Findings:
    """A row that a snapshot does not see is never indexed; one that reconcile does not see is removed."""
    for role in table.rows_hidden_from:
        yield problem(
            f"row level security of {TABLE} hides rows from {role}",
            f"CREATE POLICY {role}_sees_all ON {TABLE} FOR SELECT TO {role} USING (true);",
        )


def check_publication_tables(publication: Publication, table: TableSetup) -> Findings:
    """What is not published is not captured, and nobody says so."""
    without = {
        TABLE: "none of its changes is captured",
        SIGNAL_TABLE: "reconcile, retry and rebuild signal in vain",
        HEARTBEAT_TABLE: "WAL piles up while only other tables change",
    }
    for name, means in without.items():
        partitioned = name == TABLE and table.kind == "p" and not publication.via_root
        if name not in publication.tables and not partitioned:
            yield problem(f"publication {PUBLICATION} lacks {name}: {means}", _SET_TABLES)


def check_operations(publication: Publication) -> Findings:
    """An operation that is left out never arrives; a truncate has no form in flat records."""
    publish = f"ALTER PUBLICATION {PUBLICATION} SET (publish = 'insert, update, delete');"
    for operation in ("insert", "update", "delete"):
        if operation not in publication.operations:
            mend = f"{publish}\nlockstep reconcile --fix"
            yield problem(f"publication {PUBLICATION} leaves out every {operation}", mend)
    if "truncate" in publication.operations:
        yield warning(
            f"publication {PUBLICATION} publishes truncates, which are dropped on the way: reconcile after each",
            publish,
        )


def check_publication_filters(publication: Publication) -> Findings:
    """A column list makes updates fail under FULL; a row filter turns updates into deletes and inserts."""
    ours = {TABLE, SIGNAL_TABLE, HEARTBEAT_TABLE}
    for name in sorted(publication.with_column_list & ours):
        yield problem(f"publication {PUBLICATION} has a column list for {name}: updates of it fail", _SET_TABLES)
    for name in sorted(publication.with_row_filter & ours):
        yield problem(f"publication {PUBLICATION} filters the rows of {name}: some are never captured", _SET_TABLES)


def check_partitions(publication: Publication, table: TableSetup) -> Findings:
    """Without the root, each partition's changes go to a topic of its own, which nobody reads."""
    if table.kind == "p" and not publication.via_root:
        yield problem(
            f"{TABLE} is partitioned, and publication {PUBLICATION} publishes each partition under its own name",
            f"ALTER PUBLICATION {PUBLICATION} SET (publish_via_partition_root = true);",
        )


def check_signal_table(server: PostgresSetup) -> Findings:
    """Debezium reads these three columns."""
    if not server.signal_columns:
        yield problem(f"{SIGNAL_TABLE} does not exist: nothing can be signalled to Debezium", ROLES_SQL)
        return
    for name, types in _SIGNAL_TYPES.items():
        found = server.signal_columns.get(name)
        if found not in types:
            yield problem(
                f"column {name} of {SIGNAL_TABLE} is {found or 'missing'}, not text: signals are not read",
                f"DROP TABLE {SIGNAL_TABLE};\n{ROLES_SQL}\nlockstep connector restart",
            )


def check_heartbeat_table(server: PostgresSetup) -> Findings:
    """Debezium's heartbeat updates the row; without it there is no write that moves the slot on."""
    if server.heartbeat_written is None:
        yield problem(f"{HEARTBEAT_TABLE} does not exist: the connector fails at its first heartbeat", ROLES_SQL)
    elif not server.heartbeat_written:
        yield warning(
            f"{HEARTBEAT_TABLE} was never written: WAL piles up while only other tables change",
            f"INSERT INTO {HEARTBEAT_TABLE} (id) VALUES (1) ON CONFLICT DO NOTHING;",
        )


def check_privileges(roles: Roles) -> Findings:
    """What a role lacks fails when it is needed first: at night, in a snapshot or a repair."""
    for role in (roles.capture, roles.ours):
        if not role.exists:
            yield problem(f"role {role.name} does not exist", ROLES_SQL)
        elif role.lacks:
            yield problem(f"role {role.name} lacks {', '.join(role.lacks)}", ROLES_SQL)


def check_least_privilege(roles: Roles) -> Findings:
    """Whoever takes over the worker or Connect has what its role has."""
    for role in (roles.capture, roles.ours):
        for privilege in role.excess:
            word, _, rest = privilege.partition(" ")
            mend = f"ALTER TABLE {TABLE} OWNER TO <another role>;" if rest else f"ALTER ROLE {role.name} NO{word};"
            yield warning(f"role {role.name} has {privilege}, which it does not need", mend)


CHECKS = (
    Check("table and publication exist", check_existence, (DatabaseSetup,)),
    Check(f"replica identity of {TABLE} is FULL", check_identity, (TableSetup,)),
    Check(f"{TABLE} is an ordinary table", check_kind, (TableSetup,)),
    Check(f"{TABLE} has the columns that Lockstep knows", check_columns, (TableSetup,)),
    Check(f"{TABLE} has no generated column", check_generated, (PostgresSetup, TableSetup)),
    Check("article_id is unique, with an index to read pages by", check_key, (TableSetup,)),
    Check(f"no row of {TABLE} is hidden", check_row_security, (TableSetup,)),
    Check(f"publication {PUBLICATION} has the three tables", check_publication_tables, (Publication, TableSetup)),
    Check(f"publication {PUBLICATION} publishes insert, update, delete", check_operations, (Publication,)),
    Check(f"publication {PUBLICATION} leaves out no column and no row", check_publication_filters, (Publication,)),
    Check("partitions are published as the table", check_partitions, (Publication, TableSetup)),
    Check("the signal table is as Debezium reads it", check_signal_table, (PostgresSetup,)),
    Check("the heartbeat row is written", check_heartbeat_table, (PostgresSetup,)),
    Check("the roles have what they need", check_privileges, (Roles,)),
    Check("the roles have no more than they need", check_least_privilege, (Roles,)),
)
