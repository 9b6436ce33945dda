"""Which partition a key belongs to."""

from aiokafka.partitioner import murmur2  # type: ignore[import-untyped]

_WITHOUT_SIGN = 0x7FFFFFFF


def partition_of_key(key: bytes, partitions: int) -> int:
    """The partition that Kafka's Java clients choose for a key, and so Debezium does."""
    return int(murmur2(key) & _WITHOUT_SIGN) % partitions
