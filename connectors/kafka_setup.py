"""Reads how the brokers of a cluster are set up; changes nothing."""

import asyncio
from dataclasses import dataclass

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # it re-exports without __all__
    AdminClient,
    ConfigResource,
    ResourceType,
)

from connectors.kafka import REQUEST_TIMEOUT_SECONDS
from connectors.kafka_errors import broker_error, quiet


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterSetup:
    """`auto_create_topics` is None where the broker does not tell, or does not tell us."""

    nodes: int
    auto_create_topics: bool | None


async def read_cluster(brokers: str, *, timeout_seconds: float = REQUEST_TIMEOUT_SECONDS) -> ClusterSetup:
    """How many brokers there are, and how the first of them is set.

    Raises:
        BrokerError: The cluster cannot be reached, or refuses.
    """
    client = AdminClient({"bootstrap.servers": brokers}, **quiet())
    try:
        cluster = await asyncio.wrap_future(client.describe_cluster(request_timeout=timeout_seconds))
        return ClusterSetup(
            nodes=len(cluster.nodes),
            auto_create_topics=await _auto_create_topics(client, cluster.nodes[0].id, timeout_seconds),
        )
    except KafkaException as error:
        raise broker_error("describe the cluster", brokers, error.args[0]) from error
    finally:
        client.poll(0)


async def _auto_create_topics(client: AdminClient, node: int, timeout_seconds: float) -> bool | None:
    resource = ConfigResource(ResourceType.BROKER, str(node))
    [answer] = client.describe_configs([resource], request_timeout=timeout_seconds).values()
    try:
        setting = (await asyncio.wrap_future(answer)).get("auto.create.topics.enable")
    except KafkaException as error:
        if error.args[0].code() != KafkaError.CLUSTER_AUTHORIZATION_FAILED:
            raise
        return None
    return None if setting is None else setting.value.lower() == "true"
