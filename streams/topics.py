"""Every topic of Lockstep: key, partitions, policy, who writes it and who reads it."""

from dataclasses import dataclass, field

from schemas.fanout_event import EVENT_MODELS, PriceChanged, ProductChanged, ProductIndexed, ProductRemoved

PARTITIONS = 6
"""Of the source topic, and so of everything keyed like it. Never changed on a running system: offsets are versions."""

MAX_RECORD_BYTES = 8 * 1024 * 1024
MAX_DEAD_LETTER_BYTES = MAX_RECORD_BYTES + 64 * 1024
"""A dead letter is its record and our headers beside it."""
DAY_MS = 24 * 60 * 60 * 1000

APP_ID = "lockstep-products-v1"
TABLE_NAME = "indexed-rows"

PRODUCT_CHANGES = "pgserver.public.products"
DEAD_LETTERS = "products.dead-letters.v1"
EVENTS = tuple(model.topic for model in EVENT_MODELS)
CHANGELOG = f"{APP_ID}-{TABLE_NAME}-changelog"
SIGNALS = "pgserver.signals"
NOTIFICATIONS = "pgserver.notifications"
HEARTBEAT = "__debezium-heartbeat.pgserver"
SIGNAL_TABLE = "pgserver.public.debezium_signal"


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicDeclaration:
    """A topic as it must be. `config` holds Kafka's own topic settings."""

    name: str
    key: str
    partitions: int
    writer: str
    readers: str
    config: dict[str, str] = field(default_factory=dict)


def _large(**config: str) -> dict[str, str]:
    return {"max.message.bytes": str(MAX_RECORD_BYTES)} | {k.replace("_", "."): v for k, v in config.items()}


DECLARATIONS: tuple[TopicDeclaration, ...] = (
    TopicDeclaration(
        name=PRODUCT_CHANGES,
        key="article_id",
        partitions=PARTITIONS,
        writer="Debezium; lockstep reconcile, for tombstones of orphans",
        readers="lockstep worker, backfills",
        # Compaction keeps the last record of every live key for ever, so a rebuild never lacks history.
        config=_large(cleanup_policy="compact", min_compaction_lag_ms=str(7 * DAY_MS)),
    ),
    TopicDeclaration(
        name=DEAD_LETTERS,
        key="the record's own",
        partitions=PARTITIONS,
        writer="lockstep worker",
        readers="lockstep dead-letters",
        config=_large(
            cleanup_policy="delete", retention_ms=str(30 * DAY_MS), max_message_bytes=str(MAX_DEAD_LETTER_BYTES)
        ),
    ),
    TopicDeclaration(
        name=ProductChanged.topic,
        key="article_id",
        partitions=PARTITIONS,
        writer="lockstep worker",
        readers="other teams",
        # Compaction keeps the last change of every key, so that a subscriber can build up the catalogue from it.
        config=_large(cleanup_policy="compact", min_compaction_lag_ms=str(7 * DAY_MS)),
    ),
    TopicDeclaration(
        name=PriceChanged.topic,
        key="article_id",
        partitions=PARTITIONS,
        writer="lockstep worker",
        readers="other teams",
        config=_large(cleanup_policy="delete", retention_ms=str(7 * DAY_MS)),
    ),
    TopicDeclaration(
        name=ProductRemoved.topic,
        key="article_id",
        partitions=PARTITIONS,
        writer="lockstep worker",
        readers="other teams",
        config=_large(cleanup_policy="delete", retention_ms=str(30 * DAY_MS)),
    ),
    TopicDeclaration(
        name=ProductIndexed.topic,
        key="article_id",
        partitions=PARTITIONS,
        writer="lockstep worker",
        readers="other teams: caches and warmers",
        config=_large(cleanup_policy="delete", retention_ms=str(DAY_MS)),
    ),
    TopicDeclaration(
        name=CHANGELOG,
        key="article_id",
        partitions=PARTITIONS,
        writer="lockstep worker",
        readers="lockstep worker, at assignment",
        config=_large(cleanup_policy="compact", min_compaction_lag_ms=str(60 * 60 * 1000)),
    ),
    TopicDeclaration(
        name=SIGNALS,
        key="topic prefix",
        partitions=1,  # Debezium reads partition 0 only
        writer="operators",
        readers="Debezium",
        config={"cleanup.policy": "delete", "retention.ms": str(DAY_MS)},
    ),
    TopicDeclaration(
        name=NOTIFICATIONS,
        key="notification id",
        partitions=1,
        writer="Debezium",
        readers="operators",
        config={"cleanup.policy": "delete", "retention.ms": str(7 * DAY_MS)},
    ),
    TopicDeclaration(
        name=HEARTBEAT,
        key="server name",
        partitions=1,
        writer="Debezium",
        readers="lockstep doctor",
        config={"cleanup.policy": "delete", "retention.ms": str(DAY_MS)},
    ),
    TopicDeclaration(
        name=SIGNAL_TABLE,
        key="signal id",
        partitions=1,
        writer="Debezium",
        readers="nobody: Debezium publishes its own signal table",
        config={"cleanup.policy": "delete", "retention.ms": str(DAY_MS)},
    ),
)
