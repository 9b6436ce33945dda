"""Each check of table, publication and roles, made to fail."""

from dataclasses import replace
from typing import Any

import pytest

from connectors.postgres_setup import Column, PostgresSetup, Publication, Role, Roles, TableSetup
from ops.doctor import postgres_table as checks
from tests.unit.ops.doctor.breaks import PROBLEM, WARNING, Break, never_broken, parameters
from tests.unit.ops.doctor.healthy import DATABASE, PUBLICATION, ROLES, SERVER, TABLE


def table(**changes: Any) -> tuple[TableSetup]:
    return (replace(TABLE, **changes),)


def column(name: str, **changes: Any) -> tuple[TableSetup]:
    return table(columns=tuple(replace(of, **changes) if of.name == name else of for of in TABLE.columns))


def publication(**changes: Any) -> tuple[Publication]:
    return (replace(PUBLICATION, **changes),)


def server(**changes: Any) -> tuple[PostgresSetup]:
    return (replace(SERVER, **changes),)


def capture_role(**changes: Any) -> tuple[Roles]:
    return (Roles(replace(ROLES.capture, **changes), ROLES.ours),)


def our_role(**changes: Any) -> tuple[Roles]:
    return (Roles(ROLES.capture, replace(ROLES.ours, **changes)),)


GENERATED = Column(name="search", type="tsvector", not_null=False, generated=True)
WITH_GENERATED = (*TABLE.columns, GENERATED)
PARTITIONED = table(kind="p")
LEAVES = frozenset({"public.products_1", "public.debezium_signal", "public.debezium_heartbeat"})

BREAKS = [
    Break(
        checks.check_existence, (replace(DATABASE, table=None),), PROBLEM, "products does not exist", "catalogue.sql"
    ),
    Break(
        checks.check_existence,
        (replace(DATABASE, publication=None),),
        PROBLEM,
        "publication dbz_products does not exist",
        "roles.sql",
    ),
    Break(checks.check_identity, table(replica_identity="d"), PROBLEM, "is DEFAULT, not FULL", "IDENTITY FULL"),
    Break(checks.check_identity, table(replica_identity="i"), PROBLEM, "is USING INDEX, not FULL", "IDENTITY FULL"),
    Break(checks.check_kind, table(kind="v"), PROBLEM, "is no table", "the table behind it"),
    Break(checks.check_kind, table(persistence="u"), PROBLEM, "is unlogged", "SET LOGGED"),
    Break(checks.check_columns, table(columns=TABLE.columns[:-1]), PROBLEM, "no column updated_at", "ADD COLUMN"),
    Break(checks.check_columns, column("price", type="double precision"), PROBLEM, "is double precision", "numeric"),
    Break(checks.check_columns, column("article_id", type="uuid"), PROBLEM, "is uuid, not text", "TYPE text"),
    Break(checks.check_columns, column("name", not_null=False), PROBLEM, "name of public.products may be", "SET NOT"),
    Break(checks.check_generated, table(columns=WITH_GENERATED), PROBLEM, "refuses updates", "DROP EXPRESSION"),
    Break(
        checks.check_generated,
        (*table(columns=WITH_GENERATED), *server(version=170004)),
        WARNING,
        "Postgres 18 will refuse",
        "DROP EXPRESSION",
    ),
    Break(
        checks.check_generated,
        (*column("color", generated=True), *server(version=170004)),
        PROBLEM,
        "records lack it",
        "DROP EXPRESSION",
    ),
    Break(checks.check_key, table(key_is_unique=False), PROBLEM, "two rows share one point", "CREATE UNIQUE INDEX"),
    Break(checks.check_key, table(key_has_bytewise_index=False), WARNING, "sorts the table", 'COLLATE "C"'),
    Break(
        checks.check_row_security,
        table(row_security=True, rows_hidden_from=("debezium",)),
        PROBLEM,
        "hides rows from debezium",
        "CREATE POLICY",
    ),
    Break(
        checks.check_publication_tables,
        publication(tables=PUBLICATION.tables - {"public.products"}),
        PROBLEM,
        "lacks public.products: none of its changes",
        "SET TABLE",
    ),
    Break(
        checks.check_publication_tables,
        publication(tables=PUBLICATION.tables - {"public.debezium_signal"}),
        PROBLEM,
        "signal in vain",
        "SET TABLE",
    ),
    Break(
        checks.check_publication_tables,
        publication(tables=PUBLICATION.tables - {"public.debezium_heartbeat"}),
        PROBLEM,
        "WAL piles up",
        "SET TABLE",
    ),
    Break(
        checks.check_operations,
        publication(operations=frozenset({"insert", "update"})),
        PROBLEM,
        "leaves out every delete",
        "reconcile --fix",
    ),
    Break(
        checks.check_operations,
        publication(operations=PUBLICATION.operations | {"truncate"}),
        WARNING,
        "publishes truncates",
        "publish = 'insert, update, delete'",
    ),
    Break(
        checks.check_publication_filters,
        publication(with_column_list=frozenset({"public.products"})),
        PROBLEM,
        "column list for public.products",
        "SET TABLE",
    ),
    Break(
        checks.check_publication_filters,
        publication(with_row_filter=frozenset({"public.products"})),
        PROBLEM,
        "filters the rows of public.products",
        "SET TABLE",
    ),
    Break(checks.check_partitions, PARTITIONED, PROBLEM, "is partitioned", "publish_via_partition_root = true"),
    Break(checks.check_signal_table, server(signal_columns={}), PROBLEM, "does not exist", "roles.sql"),
    Break(
        checks.check_signal_table,
        server(signal_columns={"id": "text", "type": "text", "data": "json"}),
        PROBLEM,
        "data of public.debezium_signal is json",
        "DROP TABLE",
    ),
    Break(checks.check_heartbeat_table, server(heartbeat_written=None), PROBLEM, "does not exist", "roles.sql"),
    Break(checks.check_heartbeat_table, server(heartbeat_written=False), WARNING, "was never written", "INSERT INTO"),
    Break(checks.check_privileges, capture_role(exists=False), PROBLEM, "debezium does not exist", "roles.sql"),
    Break(
        checks.check_privileges, our_role(lacks=("INSERT ON x",)), PROBLEM, "lockstep lacks INSERT ON x", "roles.sql"
    ),
    Break(
        checks.check_least_privilege,
        capture_role(excess=("SUPERUSER",)),
        WARNING,
        "debezium has SUPERUSER",
        "ALTER ROLE debezium NOSUPERUSER;",
    ),
    Break(
        checks.check_least_privilege,
        our_role(excess=("ownership of public.products",)),
        WARNING,
        "lockstep has ownership",
        "OWNER TO",
    ),
]


@pytest.mark.parametrize("case", parameters(BREAKS))
def test_it_is_found(case: Break) -> None:
    case.assert_found(checks.CHECKS)


def test_each_check_can_fail() -> None:
    assert never_broken(BREAKS, checks.CHECKS) == []


def test_partitions_that_are_published_as_the_table_are_in_order() -> None:
    assert list(checks.check_partitions(*publication(via_root=True), *PARTITIONED)) == []


def test_a_partitioned_table_is_not_called_missing_too() -> None:
    assert list(checks.check_publication_tables(*publication(tables=LEAVES), *PARTITIONED)) == []


def test_any_kind_of_text_and_of_number_will_do() -> None:
    [found] = column("color", type="character varying")
    assert list(checks.check_columns(found)) == []
    assert list(checks.check_columns(*column("id", type="integer"))) == []


def test_columns_that_lockstep_does_not_know_are_nobodys_business() -> None:
    stock = Column(name="stock", type="integer", not_null=True, generated=False)
    assert list(checks.check_columns(*table(columns=(*TABLE.columns, stock)))) == []


def test_a_role_that_is_missing_lacks_nothing_else() -> None:
    roles = Roles(Role(name="debezium", exists=False), ROLES.ours)
    assert len(list(checks.check_privileges(roles))) == 1
