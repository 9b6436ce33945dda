"""Keys go where Debezium's own records went."""

from connectors.partitioner import partition_of_key
from schemas.debezium import decode_key, encode_key
from tests.fakes.recordings import connect_records


def test_recorded_keys_are_written_again_byte_for_byte_and_go_to_their_partition() -> None:
    records = list(connect_records())
    assert len({record.place.partition for record in records}) > 2
    for record in records:
        assert record.key == encode_key(decode_key(record))
        assert partition_of_key(record.key, 6) == record.place.partition
