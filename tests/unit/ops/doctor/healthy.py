"""A healthy setup of every system, as the readers give it, for tests that break one thing of it."""

from typing import Any

from connectors.debezium.config import CONNECTOR_NAME, connector_config
from connectors.debezium.connect import ConnectorStatus, TaskStatus
from connectors.debezium.connect_setup import ConnectorSetup
from connectors.kafka import Watermarks
from connectors.kafka_setup import ClusterSetup
from connectors.postgres_setup import (
    CaptureSlot,
    Column,
    DatabaseSetup,
    PostgresSetup,
    Publication,
    Role,
    Roles,
    Slot,
    TableSetup,
)
from connectors.qdrant_requests import payload_indexes
from connectors.qdrant_setup import CollectionSetup, QdrantSetup
from connectors.topic_plan import TopicState
from ops.doctor.broker_setup import BrokerSetup, SourceSetup
from ops.doctor.capture import CaptureSetup
from ops.doctor.qdrant import Needs
from schemas.product import COLUMNS, TEXT_COLUMNS
from schemas.recipe import Recipe
from streams.topics import DECLARATIONS
from tests.fakes.recordings import connect_records

SLOT = Slot(
    name="dbz_products",
    physical=False,
    plugin="pgoutput",
    database="shop",
    active=True,
    wal_status="reserved",
    invalidation_reason=None,
    failover=True,
    held_bytes=872,
    safe_bytes=50 * 1024**3,
)
STANDBY_SLOT = Slot(
    name="standby_1",
    physical=True,
    plugin=None,
    database=None,
    active=True,
    wal_status="reserved",
    invalidation_reason=None,
    failover=False,
    held_bytes=0,
    safe_bytes=None,
)
SERVER = PostgresSetup(
    version=180006,
    database="shop",
    in_recovery=False,
    settings={
        "wal_level": "logical",
        "max_slot_wal_keep_size": "51200",
        "max_replication_slots": "8",
        "max_wal_senders": "8",
        "idle_replication_slot_timeout": "0",
        "synchronized_standby_slots": "standby_1",
    },
    wal_position=28_446_488,
    clock_ahead_seconds=0.01,
    clock_unsure_seconds=0.001,
    senders=2,
    standbys=1,
    other_slots=(STANDBY_SLOT,),
    oldest_transaction=None,
    signal_columns={"id": "character varying", "type": "character varying", "data": "text"},
    heartbeat_written=True,
)
TYPES = {"id": "bigint", "price": "numeric"} | dict.fromkeys(TEXT_COLUMNS, "text")
TABLE = TableSetup(
    kind="r",
    persistence="p",
    replica_identity="f",
    columns=tuple(
        Column(
            name=name,
            type=TYPES.get(name, "timestamp with time zone"),
            not_null=name in ("id", "article_id", "name"),
            generated=False,
        )
        for name in COLUMNS
    ),
    key_is_unique=True,
    key_has_bytewise_index=True,
    row_security=False,
    rows_hidden_from=(),
    has_rows=True,
)
PUBLICATION = Publication(
    name="dbz_products",
    operations=frozenset({"insert", "update", "delete"}),
    via_root=False,
    tables=frozenset({"public.products", "public.debezium_signal", "public.debezium_heartbeat"}),
    with_column_list=frozenset(),
    with_row_filter=frozenset(),
)
ROLES = Roles(Role(name="debezium", exists=True), Role(name="lockstep", exists=True))
DATABASE = DatabaseSetup(server=SERVER, slot=CaptureSlot(SLOT), table=TABLE, publication=PUBLICATION, roles=ROLES)

WANTED = connector_config(
    postgres_host="db", postgres_port=5432, database="shop", kafka_brokers="kafka:9092", replication=1
)
STATUS = ConnectorStatus(
    name=CONNECTOR_NAME,
    state="RUNNING",
    worker="connect:8083",
    trace=None,
    tasks=(TaskStatus(id=0, state="RUNNING", worker="connect:8083"),),
)
CONNECTOR = ConnectorSetup(status=STATUS, config={**WANTED, "name": CONNECTOR_NAME}, offset_lsn=28_446_000)
CAPTURE = CaptureSetup(connector=CONNECTOR, wanted=WANTED)

BROKER = BrokerSetup(
    cluster=ClusterSetup(nodes=1, auto_create_topics=False),
    topics={
        declared.name: TopicState(
            name=declared.name, partitions=declared.partitions, replication=1, config=declared.config
        )
        for declared in DECLARATIONS
    },
    heartbeat_age_seconds=1.5,
)
SOURCE = SourceSetup(
    marks={0: Watermarks(low=0, high=3)},
    committed={0: 3},
    members=("worker-1",),
    newest=tuple(sorted(connect_records(), key=lambda record: record.place)),
    stuck={},
)

QDRANT = QdrantSetup(version="1.19.2", alias="products", target="products-1", alias_is_collection=False)
COLLECTION = CollectionSetup(
    name="products-1",
    status="green",
    points=3,
    recipe=Recipe(),
    phase=None,
    dimensions=384,
    distance="Cosine",
    sparse_has_idf=True,
    indexes={field: schema.value for field, schema in payload_indexes().items()},
)
NEEDS = Needs(200)

READ: dict[type, Any] = {
    type(value): value
    for value in (
        *(DATABASE, SERVER, CaptureSlot(SLOT), TABLE, PUBLICATION, ROLES),
        *(CAPTURE, CONNECTOR, BROKER, SOURCE, QDRANT, COLLECTION, NEEDS),
    )
}
