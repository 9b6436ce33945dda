"""The connector's configuration: `connector.json` with the addresses of one deployment filled in."""

from pathlib import Path
from typing import Any

import orjson

CONNECTOR_JSON = Path(__file__).with_name("connector.json")


def _load() -> dict[str, Any]:
    document: dict[str, Any] = orjson.loads(CONNECTOR_JSON.read_bytes())
    return document


CONNECTOR_NAME: str = _load()["name"]
SLOT_NAME: str = _load()["config"]["slot.name"]
MAX_REQUEST_BYTES = 8 * 1024 * 1024
"""The largest record Debezium may send; the topics allow as much."""


def connector_config(
    *,
    postgres_host: str,
    postgres_port: int,
    database: str,
    kafka_brokers: str,
    replication: int,
    user: str = "debezium",
) -> dict[str, str]:
    """What Connect's REST takes. Host, port and brokers as Connect itself reaches them, which may differ from us.

    The password stays `${env:DEBEZIUM_DB_PASSWORD}`, which the Connect worker resolves from its own environment.
    """
    config: dict[str, str] = dict(_load()["config"])
    return config | {
        "database.hostname": postgres_host,
        "database.port": str(postgres_port),
        "database.dbname": database,
        "database.user": user,
        "signal.kafka.bootstrap.servers": kafka_brokers,
        "topic.creation.default.replication.factor": str(replication),
        "topic.creation.internal.replication.factor": str(replication),
        "producer.override.max.request.size": str(MAX_REQUEST_BYTES),
    }
