"""The broker's administration: its topics brought to their declarations, and how far each partition reaches."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from types import TracebackType
from typing import Any, Self

from confluent_kafka import (
    Consumer,
    KafkaError,
    KafkaException,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # it re-exports without __all__
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    OffsetSpec,
    ResourceType,
)
from tenacity import (
    AsyncRetrying,
    RetryError,
    retry_if_exception,
    retry_if_exception_type,
    retry_if_result,
    stop_after_delay,
    wait_fixed,
)

from connectors.kafka_errors import broker_error, quiet
from connectors.kafka_futures import outcome
from connectors.topic_plan import CreateTopic, Declaration, SetTopicConfig, TopicChange, TopicState, plan_topics
from schemas.errors import BrokerError

logger = logging.getLogger(__name__)

REQUEST_TIMEOUT_SECONDS = 10.0

_LEADERLESS = frozenset({KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE})
_PROBE_GROUP = "lockstep-ready"
_RETRY_SECONDS = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Watermarks:
    """The first retained offset of a partition, and one past its newest."""

    low: int
    high: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """A consumer group now: its state in the broker's word, and the partitions of a topic by member."""

    state: str
    partitions: Mapping[str, Sequence[int]]


class KafkaAdmin:
    """One connection to the broker's administration; an async context manager, for one event loop.

    Every method raises `BrokerError`: transient when the broker cannot be reached, an outage when it refuses. What
    the Kafka library itself logs is kept quiet, since an error that matters is raised.
    """

    def __init__(self, brokers: str) -> None:
        self._brokers = brokers
        # With a logger, the library's lines wait in a queue for poll(), in place of stderr.
        self._client = AdminClient({"bootstrap.servers": brokers}, **quiet())
        self._members: dict[str, Consumer] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.poll(0)
        for member in self._members.values():
            member.close()

    async def describe(self, names: Iterable[str]) -> dict[str, TopicState]:
        """Those of the topics that exist, with all their settings."""
        with self._errors("describe topics"):
            present = await self._topics(list(names))
            if not present:
                return {}
            settings = await _results(
                self._client.describe_configs(
                    [ConfigResource(ResourceType.TOPIC, name) for name in present],
                    request_timeout=REQUEST_TIMEOUT_SECONDS,
                )
            )
        configs = {
            resource.name: {key: entry.value for key, entry in config.items()} for resource, config in settings.items()
        }
        return {
            name: TopicState(
                name=name,
                partitions=len(topic.partitions),
                replication=min((len(partition.replicas) for partition in topic.partitions), default=0),
                topic_id=str(topic.topic_id) if topic.topic_id is not None else None,
                config=configs[name],
            )
            for name, topic in present.items()
        }

    async def plan(self, declarations: Sequence[Declaration]) -> list[TopicChange]:
        """What `apply` would do now."""
        return plan_topics(declarations, await self.describe(wanted.name for wanted in declarations))

    async def apply(self, declarations: Sequence[Declaration], *, replication: int = 1) -> list[TopicChange]:
        """Bring the topics to their declarations; gives what was planned. Safe to repeat, and side by side.

        Created topics are known to the broker when it returns. `PartitionsDiffer` is logged and left to a person.
        """
        changes = await self.plan(declarations)
        await self._create([change for change in changes if isinstance(change, CreateTopic)], replication)
        await self._configure([change for change in changes if isinstance(change, SetTopicConfig)])
        return changes

    async def watermarks(self, topic: str) -> dict[int, Watermarks]:
        """Low and high watermark of each partition, read one after the other.

        Raises:
            BrokerError: The topic does not exist (an outage: the hint says how to create it).
        """
        with self._errors(f"read watermarks of {topic}"):
            topics = await self._topics([topic])
            if topic not in topics:
                raise KafkaException(KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART))
            partitions = [TopicPartition(topic, partition.id) for partition in topics[topic].partitions]
            low = await self._offsets(partitions, OffsetSpec.earliest())  # type: ignore[no-untyped-call]
            high = await self._offsets(partitions, OffsetSpec.latest())  # type: ignore[no-untyped-call]
        return {number: Watermarks(low=low[number], high=high[number]) for number in sorted(low)}

    async def committed(self, group: str, topic: str) -> dict[int, int]:
        """The next offset that the group reads, by partition; a partition without a commit is absent."""
        with self._errors(f"read offsets of group {group}"):
            topics = await self._topics([topic])
            if topic not in topics:
                return {}
            partitions = [TopicPartition(topic, partition.id) for partition in topics[topic].partitions]
            answer = await asyncio.to_thread(self._member_of(group).committed, partitions, REQUEST_TIMEOUT_SECONDS)
        for partition in answer:
            if partition.error:
                raise broker_error(f"read offsets of group {group}", self._brokers, partition.error)
        return {partition.partition: partition.offset for partition in answer if partition.offset >= 0}

    async def members(self, group: str) -> tuple[str, ...]:
        """The clients that are in the group now; one that was killed stays until its session ends."""
        return tuple(_member_name(member) for member in (await self._describe_group(group)).members)

    async def group(self, group: str, topic: str) -> Group:
        """The group's state, and who reads which partitions of the topic; no member where there is no group."""
        description = await self._describe_group(group)
        return Group(
            state=description.state.name,
            partitions={
                _member_name(member): sorted(
                    place.partition for place in member.assignment.topic_partitions if place.topic == topic
                )
                for member in description.members
            },
        )

    async def delete(self, name: str) -> None:
        """Remove a topic with all its records; a missing one is no error. Returns once the broker knows it no more."""
        with self._errors(f"delete topic {name}"):
            [future] = self._client.delete_topics([name], request_timeout=REQUEST_TIMEOUT_SECONDS).values()
            try:
                await outcome(future)
            except KafkaException as error:
                if _code(error) != KafkaError.UNKNOWN_TOPIC_OR_PART:
                    raise
            else:
                logger.info("topic deleted", extra={"action": "topic_deleted", "topic": name})
        await self._wait_until(lambda known: name not in known, {name}, f"{name} is not deleted yet")

    async def _describe_group(self, group: str) -> Any:
        with self._errors(f"describe group {group}"):
            answers = await _results(
                self._client.describe_consumer_groups([group], request_timeout=REQUEST_TIMEOUT_SECONDS)
            )
        return answers[group]

    def _member_of(self, group: str) -> Consumer:
        """A consumer that never subscribes, and so never joins: it only asks the group's coordinator.

        The admin client's own list_consumer_group_offsets crashes the process when the coordinator answers that it is
        not ready: librdkafka looks for a group that an admin client does not have.
        """
        if group not in self._members:
            config = {"bootstrap.servers": self._brokers, "group.id": group, "enable.auto.commit": False}
            self._members[group] = Consumer(config, **quiet())
        return self._members[group]

    async def wait_until_ready(self, timeout_seconds: float = 60.0) -> None:
        """Wait until the broker lists its topics and finds the coordinator of a group, which comes last.

        Raises:
            BrokerError: Time is up; the message has the last refusal.
        """
        retrying = AsyncRetrying(
            retry=retry_if_exception_type(BrokerError),
            wait=wait_fixed(_RETRY_SECONDS),
            stop=stop_after_delay(timeout_seconds),
            reraise=True,
        )
        await retrying(self._probe)

    async def _probe(self) -> None:
        with self._errors("reach a coordinator"):
            await asyncio.to_thread(self._client.list_topics, timeout=2.0)
            await _results(self._client.describe_consumer_groups([_PROBE_GROUP], request_timeout=2.0))

    async def _topics(self, names: list[str]) -> dict[str, Any]:
        futures = self._client.describe_topics(TopicCollection(names), request_timeout=REQUEST_TIMEOUT_SECONDS)
        answers = await asyncio.gather(*map(outcome, futures.values()), return_exceptions=True)
        found = {}
        for name, answer in zip(futures, answers, strict=True):
            if isinstance(answer, BaseException):
                if _code(answer) != KafkaError.UNKNOWN_TOPIC_OR_PART:
                    raise answer
            else:
                found[name] = answer
        return found

    async def _offsets(self, partitions: list[TopicPartition], spec: OffsetSpec) -> dict[int, int]:
        # A partition has no leader for a moment after its topic was created or its broker came back.
        retrying = AsyncRetrying(
            retry=retry_if_exception(lambda error: _code(error) in _LEADERLESS),
            wait=wait_fixed(_RETRY_SECONDS),
            stop=stop_after_delay(REQUEST_TIMEOUT_SECONDS),
            reraise=True,
        )

        async def ask() -> dict[Any, Any]:
            asked = dict.fromkeys(partitions, spec)
            return await _results(self._client.list_offsets(asked, request_timeout=REQUEST_TIMEOUT_SECONDS))

        answers: dict[Any, Any] = await retrying(ask)
        return {partition.partition: answer.offset for partition, answer in answers.items()}

    async def _create(self, changes: list[CreateTopic], replication: int) -> None:
        if not changes:
            return
        topics = [
            NewTopic(change.name, change.partitions, replication, config=dict(change.config)) for change in changes
        ]
        with self._errors("create topics"):
            futures = self._client.create_topics(topics, request_timeout=REQUEST_TIMEOUT_SECONDS)
            for name, future in futures.items():
                try:
                    await outcome(future)
                except KafkaException as error:
                    # Someone else created it in the meantime; the next `apply` sees what of it differs.
                    if _code(error) != KafkaError.TOPIC_ALREADY_EXISTS:
                        raise
                else:
                    logger.info("topic created", extra={"action": "topic_created", "topic": name})
        names = {change.name for change in changes}
        await self._wait_until(lambda known: names <= known, names, "created topics are not known yet")

    async def _wait_until(self, done: Callable[[Set[str]], bool], names: set[str], otherwise: str) -> None:
        # The controller has done it; the broker that is asked may hear of it a moment later.
        retrying = AsyncRetrying(
            retry=retry_if_result(lambda present: not done(present.keys())),
            wait=wait_fixed(_RETRY_SECONDS),
            stop=stop_after_delay(REQUEST_TIMEOUT_SECONDS),
        )
        try:
            await retrying(self.describe, names)
        except RetryError as error:
            raise BrokerError(f"{otherwise} at {self._brokers}") from error

    async def _configure(self, changes: list[SetTopicConfig]) -> None:
        resources = []
        for name, of_topic in groupby(changes, key=lambda change: change.name):
            entries = [
                ConfigEntry(change.setting, change.value, incremental_operation=AlterConfigOpType.SET)
                for change in of_topic
            ]
            resources.append(ConfigResource(ResourceType.TOPIC, name, incremental_configs=entries))
        if resources:
            with self._errors("set topic settings"):
                await _results(
                    self._client.incremental_alter_configs(resources, request_timeout=REQUEST_TIMEOUT_SECONDS)
                )

    @contextmanager
    def _errors(self, operation: str) -> Iterator[None]:
        try:
            yield
        except KafkaException as error:
            raise broker_error(operation, self._brokers, error.args[0]) from error
        finally:
            self._client.poll(0)


async def _results(futures: Mapping[Any, Future[Any]]) -> dict[Any, Any]:
    """Every result, or the first error."""
    answers = await asyncio.gather(*map(outcome, futures.values()))
    return dict(zip(futures, answers, strict=True))


def _member_name(member: Any) -> str:
    return str(member.group_instance_id or member.client_id)


def _code(error: BaseException) -> int | None:
    return error.args[0].code() if isinstance(error, KafkaException) else None
