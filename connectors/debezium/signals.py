"""The signals that Lockstep writes into Debezium's signal table."""

from collections.abc import Iterator, Sequence

import orjson

EXECUTE_SNAPSHOT = "execute-snapshot"
KEYS_IN_A_SIGNAL = 500
KEY_BYTES_IN_A_SIGNAL = 128 * 1024
"""Debezium publishes its signal table too: quoted and escaped, a signal must stay below a topic's usual 1 MiB."""

_TABLE = "public.products"


def snapshot_signals(article_ids: Sequence[str]) -> Iterator[str]:
    """The `data` of signals that have Debezium read these rows again, in as few signals as may be.

    An incremental snapshot: capture goes on meanwhile, each row comes as a snapshot read with an offset of its own, and
    a key without a row gives nothing.
    """
    part: list[str] = []
    size_bytes = 0
    for article_id in article_ids:
        key_bytes = len(article_id.encode())
        if part and (len(part) == KEYS_IN_A_SIGNAL or size_bytes + key_bytes > KEY_BYTES_IN_A_SIGNAL):
            yield _data(part)
            part, size_bytes = [], 0
        part.append(article_id)
        size_bytes += key_bytes
    if part:
        yield _data(part)


def whole_table_signal() -> str:
    """The `data` of the signal that has Debezium read every row again."""
    return orjson.dumps({"type": "incremental", "data-collections": [_TABLE]}).decode()


def _data(article_ids: Sequence[str]) -> str:
    # Debezium puts the filter into its query as it stands.
    quoted = ", ".join("'" + article_id.replace("'", "''") + "'" for article_id in article_ids)
    condition = {"data-collection": _TABLE, "filter": f"article_id IN ({quoted})"}
    signal = {"type": "incremental", "data-collections": [_TABLE], "additional-conditions": [condition]}
    return orjson.dumps(signal).decode()
