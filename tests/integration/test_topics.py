"""Topics on a real broker: created, mended, never shrunk, and their watermarks."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from uuid import uuid4

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from connectors.kafka import KafkaAdmin, Watermarks
from connectors.topic_plan import CreateTopic, PartitionsDiffer, SetTopicConfig
from ops.devstack.stack import Stack
from schemas.errors import BrokerError, ErrorKind
from streams.topics import DECLARATIONS, TopicDeclaration

pytestmark = pytest.mark.stack


@pytest.fixture
async def admin(stack: Stack) -> AsyncIterator[KafkaAdmin]:
    async with KafkaAdmin(stack.settings.kafka.brokers) as admin:
        await admin.wait_until_ready(30)
        yield admin


@pytest.fixture
def declared(stack: Stack) -> Iterator[TopicDeclaration]:
    """A topic of this test alone; gone afterwards."""
    name = f"test-{uuid4().hex[:8]}"
    yield TopicDeclaration(
        name=name, key="k", partitions=3, writer="w", readers="r", config={"cleanup.policy": "compact"}
    )
    client = AdminClient({"bootstrap.servers": stack.settings.kafka.brokers})
    for future in client.delete_topics([name]).values():
        future.result(10)


async def test_a_topic_is_created_as_declared_and_then_left_alone(
    admin: KafkaAdmin, declared: TopicDeclaration
) -> None:
    assert await admin.plan([declared]) == [CreateTopic(name=declared.name, partitions=3, config=declared.config)]
    assert len(await admin.apply([declared])) == 1
    assert await admin.apply([declared]) == []
    state = (await admin.describe([declared.name]))[declared.name]
    assert (state.partitions, state.replication, state.config["cleanup.policy"]) == (3, 1, "compact")


async def test_a_setting_that_drifted_is_set_back_and_others_stay(
    admin: KafkaAdmin, declared: TopicDeclaration
) -> None:
    await admin.apply([replace(declared, config={"cleanup.policy": "delete", "segment.ms": "60000"})])
    assert await admin.apply([declared]) == [
        SetTopicConfig(name=declared.name, setting="cleanup.policy", value="compact", present="delete")
    ]
    state = (await admin.describe([declared.name]))[declared.name]
    assert (state.config["cleanup.policy"], state.config["segment.ms"]) == ("compact", "60000")


async def test_partitions_are_never_added(admin: KafkaAdmin, declared: TopicDeclaration) -> None:
    await admin.apply([declared])
    wanted = replace(declared, partitions=6)
    assert await admin.apply([wanted]) == [PartitionsDiffer(name=declared.name, declared=6, present=3)]
    assert (await admin.describe([declared.name]))[declared.name].partitions == 3


async def test_a_topic_made_anew_has_another_id(stack: Stack, admin: KafkaAdmin, declared: TopicDeclaration) -> None:
    await admin.apply([declared])
    first = (await admin.describe([declared.name]))[declared.name].topic_id
    client = AdminClient({"bootstrap.servers": stack.settings.kafka.brokers})
    client.delete_topics([declared.name])[declared.name].result(10)
    await admin.apply([declared])
    second = (await admin.describe([declared.name]))[declared.name].topic_id
    assert first is not None
    assert second not in (None, first)


async def test_watermarks_count_the_records_of_each_partition(
    stack: Stack, admin: KafkaAdmin, declared: TopicDeclaration
) -> None:
    await admin.apply([declared])
    producer = Producer({"bootstrap.servers": stack.settings.kafka.brokers})
    for partition in (0, 2, 2):
        producer.produce(declared.name, key=b"k", value=b"v", partition=partition)
    assert producer.flush(10) == 0
    assert await admin.watermarks(declared.name) == {
        0: Watermarks(low=0, high=1),
        1: Watermarks(low=0, high=0),
        2: Watermarks(low=0, high=2),
    }


async def test_watermarks_of_a_missing_topic_are_an_outage_with_a_way_out(admin: KafkaAdmin) -> None:
    with pytest.raises(BrokerError) as caught:
        await admin.watermarks("test-no-such-topic")
    assert caught.value.kind is ErrorKind.OUTAGE
    assert "lockstep topics apply" in (caught.value.hint or "")


async def test_the_declared_topics_are_accepted_by_the_broker(admin: KafkaAdmin) -> None:
    await admin.apply(DECLARATIONS)
    assert await admin.plan(DECLARATIONS) == []


async def test_an_unreachable_broker_is_transient_and_quiet(
    unused_tcp_port: int, capfd: pytest.CaptureFixture[str]
) -> None:
    async with KafkaAdmin(f"127.0.0.1:{unused_tcp_port}") as admin:
        with pytest.raises(BrokerError, match=str(unused_tcp_port)) as caught:
            await admin.wait_until_ready(0.5)
    assert caught.value.kind is ErrorKind.TRANSIENT
    assert "lockstep up" in (caught.value.hint or "")
    assert capfd.readouterr().err == ""
