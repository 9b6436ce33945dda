"""The broker's administration: its topics brought to their declarations, and how far each partition reaches."""

import asyncio
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
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
from tenacity import AsyncRetrying, RetryError, retry_if_exception_type, retry_if_result, stop_after_delay, wait_fixed

from connectors.topic_plan import CreateTopic, Declaration, SetTopicConfig, TopicChange, TopicState, plan_topics
from schemas.errors import BrokerError, ErrorKind

logger = logging.getLogger(__name__)

UNREACHABLE_HINT = "start the stack with `lockstep up`, or set LOCKSTEP_KAFKA_BROKERS"
REQUEST_TIMEOUT_SECONDS = 10.0

_PROBE_GROUP = "lockstep-ready"
_RETRY_SECONDS = 0.2

_UNREACHABLE = frozenset(
    {KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN, KafkaError._TIMED_OUT, KafkaError._RESOLVE}
)
_OUTAGES = {
    KafkaError.UNKNOWN_TOPIC_OR_PART: "create the topics with `lockstep topics apply`",
    KafkaError._UNKNOWN_TOPIC: "create the topics with `lockstep topics apply`",
    KafkaError.TOPIC_AUTHORIZATION_FAILED: "grant Lockstep's user the topic",
    KafkaError.CLUSTER_AUTHORIZATION_FAILED: "grant Lockstep's user the cluster operation",
    KafkaError.GROUP_AUTHORIZATION_FAILED: "grant Lockstep's user the consumer group",
    KafkaError._AUTHENTICATION: "check the broker's user and password",
    KafkaError.SASL_AUTHENTICATION_FAILED: "check the broker's user and password",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Watermarks:
    """The first retained offset of a partition, and one past its newest."""

    low: int
    high: int


class KafkaAdmin:
    """One connection to the broker's administration; an async context manager, for one event loop.

    Every method raises `BrokerError`: transient when the broker cannot be reached, an outage when it refuses. What
    the Kafka library itself logs goes to this module's logger at DEBUG, since an error that matters is raised.
    """

    def __init__(self, brokers: str) -> None:
        self._brokers = brokers
        # With a logger, the library's lines wait in a queue for poll(), in place of stderr.
        config: dict[str, Any] = {"bootstrap.servers": brokers, "error_cb": _log_error}
        self._client = AdminClient(config, logger=_quiet_logger())
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
                raise self._translate(f"read offsets of group {group}", KafkaException(partition.error))
        return {partition.partition: partition.offset for partition in answer if partition.offset >= 0}

    def _member_of(self, group: str) -> Consumer:
        """A consumer that never subscribes, and so never joins: it only asks the group's coordinator.

        The admin client's own list_consumer_group_offsets crashes the process when the coordinator answers that it is
        not ready: librdkafka looks for a group that an admin client does not have.
        """
        if group not in self._members:
            config: dict[str, Any] = {
                "bootstrap.servers": self._brokers,
                "group.id": group,
                "enable.auto.commit": False,
                "error_cb": _log_error,
            }
            self._members[group] = Consumer(config, logger=_quiet_logger())
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
        answers = await asyncio.gather(*map(asyncio.wrap_future, futures.values()), return_exceptions=True)
        found = {}
        for name, answer in zip(futures, answers, strict=True):
            if isinstance(answer, BaseException):
                if _code(answer) != KafkaError.UNKNOWN_TOPIC_OR_PART:
                    raise answer
            else:
                found[name] = answer
        return found

    async def _offsets(self, partitions: list[TopicPartition], spec: OffsetSpec) -> dict[int, int]:
        answers = await _results(
            self._client.list_offsets(dict.fromkeys(partitions, spec), request_timeout=REQUEST_TIMEOUT_SECONDS)
        )
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
                    await asyncio.wrap_future(future)
                except KafkaException as error:
                    # Someone else created it in the meantime; the next `apply` sees what of it differs.
                    if _code(error) != KafkaError.TOPIC_ALREADY_EXISTS:
                        raise
                else:
                    logger.info("topic created", extra={"action": "topic_created", "topic": name})
        await self._wait_until_known({change.name for change in changes})

    async def _wait_until_known(self, names: set[str]) -> None:
        # The controller has created them; the broker that is asked may hear of it a moment later.
        retrying = AsyncRetrying(
            retry=retry_if_result(lambda present: bool(names - present.keys())),
            wait=wait_fixed(_RETRY_SECONDS),
            stop=stop_after_delay(REQUEST_TIMEOUT_SECONDS),
        )
        try:
            await retrying(self.describe, names)
        except RetryError as error:
            raise BrokerError(f"created topics are not known to {self._brokers} yet") from error

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
            raise self._translate(operation, error) from error
        finally:
            self._client.poll(0)

    def _translate(self, operation: str, error: KafkaException) -> BrokerError:
        cause = error.args[0]
        message = f"cannot {operation} at {self._brokers}: {cause.str()}"
        if cause.code() in _UNREACHABLE:
            return BrokerError(message, kind=ErrorKind.TRANSIENT, hint=UNREACHABLE_HINT)
        if cause.code() in _OUTAGES:
            return BrokerError(message, kind=ErrorKind.OUTAGE, hint=_OUTAGES[cause.code()])
        return BrokerError(message, kind=ErrorKind.TRANSIENT if cause.retriable() else ErrorKind.OUTAGE)


async def _results(futures: Mapping[Any, Future[Any]]) -> dict[Any, Any]:
    """Every result, or the first error."""
    answers = await asyncio.gather(*map(asyncio.wrap_future, futures.values()))
    return dict(zip(futures, answers, strict=True))


def _code(error: BaseException) -> int | None:
    return error.args[0].code() if isinstance(error, KafkaException) else None


def _log_error(error: KafkaError) -> None:
    logger.debug("broker connection trouble", extra={"action": "broker_trouble", "reason": error.str()})


def _quiet_logger() -> logging.Logger:
    """A logger whose lines, whatever their level was, reach this module's logger at DEBUG."""
    quiet = logging.getLogger(f"{__name__}.library")
    quiet.setLevel(logging.DEBUG if logger.isEnabledFor(logging.DEBUG) else logging.CRITICAL + 1)
    return quiet
