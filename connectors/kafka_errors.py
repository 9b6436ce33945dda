"""What librdkafka raises and logs, in our words."""

import logging
from typing import Any

from confluent_kafka import KafkaError

from schemas.errors import BrokerError, ErrorKind

logger = logging.getLogger(__name__)

UNREACHABLE_HINT = "start the stack with `lockstep up`, or set LOCKSTEP_KAFKA_BROKERS"

_UNREACHABLE = frozenset(
    {
        KafkaError._TRANSPORT,
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._TIMED_OUT,
        KafkaError._MSG_TIMED_OUT,
        KafkaError._RESOLVE,
    }
)
_TOPICS_HINT = "create the topics with `lockstep topics apply`"
_OUTAGES = {
    KafkaError.UNKNOWN_TOPIC_OR_PART: _TOPICS_HINT,
    KafkaError._UNKNOWN_TOPIC: _TOPICS_HINT,
    KafkaError._UNKNOWN_PARTITION: _TOPICS_HINT,
    KafkaError.TOPIC_AUTHORIZATION_FAILED: "grant Lockstep's user the topic",
    KafkaError.CLUSTER_AUTHORIZATION_FAILED: "grant Lockstep's user the cluster operation",
    KafkaError.GROUP_AUTHORIZATION_FAILED: "grant Lockstep's user the consumer group",
    KafkaError._GAPLESS_GUARANTEE: "see the broker's reason; `lockstep topics apply` sets the topics' limits",
    KafkaError._AUTHENTICATION: "check the broker's user and password",
    KafkaError.SASL_AUTHENTICATION_FAILED: "check the broker's user and password",
}


def broker_error(operation: str, brokers: str, error: KafkaError) -> BrokerError:
    """Our error for the library's: transient when the broker cannot be reached, an outage when it refuses."""
    message = f"cannot {operation} at {brokers}: {error.str()}"
    if error.code() in _UNREACHABLE:
        return BrokerError(message, kind=ErrorKind.TRANSIENT, hint=UNREACHABLE_HINT)
    if error.code() in _OUTAGES:
        return BrokerError(message, kind=ErrorKind.OUTAGE, hint=_OUTAGES[error.code()])
    return BrokerError(message, kind=ErrorKind.TRANSIENT if error.retriable() else ErrorKind.OUTAGE)


def quiet() -> dict[str, Any]:
    """Arguments for a client, beside its configuration, that send what the library logs to this module at DEBUG.

    Its lines would go to stderr by themselves, and tell of broker trouble that is raised anyway where it matters.
    """
    library = logging.getLogger(f"{__name__}.library")
    library.setLevel(logging.DEBUG if logger.isEnabledFor(logging.DEBUG) else logging.CRITICAL + 1)
    return {"logger": library, "error_cb": _log_error}


def _log_error(error: KafkaError) -> None:
    logger.debug("broker connection trouble", extra={"action": "broker_trouble", "reason": error.str()})
