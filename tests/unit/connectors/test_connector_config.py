"""The connector's configuration for one deployment."""

from typing import Any

import orjson

from connectors.debezium.config import CONNECTOR_JSON, CONNECTOR_NAME, connector_config
from streams import topics

CONFIG = connector_config(
    postgres_host="db", postgres_port=6432, database="goods", kafka_brokers="a:1,b:2", replication=3
)
ON_DISK: dict[str, Any] = orjson.loads(CONNECTOR_JSON.read_bytes())


def test_addresses_are_filled_in_and_the_rest_is_the_file() -> None:
    filled = {
        "database.hostname": "db",
        "database.port": "6432",
        "database.dbname": "goods",
        "database.user": "debezium",
        "signal.kafka.bootstrap.servers": "a:1,b:2",
        "topic.creation.default.replication.factor": "3",
        "topic.creation.internal.replication.factor": "3",
    }
    assert ON_DISK["name"] == CONNECTOR_NAME
    assert ON_DISK["config"] | filled == CONFIG


def test_every_value_is_text_as_connect_wants_it() -> None:
    assert all(isinstance(value, str) for value in CONFIG.values())


def test_the_password_is_named_and_not_written() -> None:
    assert CONFIG["database.password"] == "${env:DEBEZIUM_DB_PASSWORD}"


def test_it_names_the_topics_that_are_declared() -> None:
    declared = {topic.name: topic for topic in topics.DECLARATIONS}
    prefix = CONFIG["topic.prefix"]
    assert f"{prefix}.{CONFIG['table.include.list']}" == topics.PRODUCT_CHANGES
    assert f"{prefix}.{CONFIG['signal.data.collection']}" == topics.SIGNAL_TABLE
    assert CONFIG["signal.kafka.topic"] == topics.SIGNALS
    assert CONFIG["notification.sink.topic.name"] == topics.NOTIFICATIONS
    assert int(CONFIG["topic.creation.default.partitions"]) == declared[topics.PRODUCT_CHANGES].partitions
    assert int(CONFIG["producer.override.max.request.size"]) == topics.MAX_RECORD_BYTES


def test_tombstones_carry_lsn_and_source_time() -> None:
    assert CONFIG["transforms.unwrap.add.headers"] == "lsn,source.ts_ms"
