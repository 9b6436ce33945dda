"""What Debezium is asked to read again."""

import orjson

from connectors.debezium.signals import KEY_BYTES_IN_A_SIGNAL, KEYS_IN_A_SIGNAL, snapshot_signals


def filters(*keys: str) -> list[str]:
    return [orjson.loads(data)["additional-conditions"][0]["filter"] for data in snapshot_signals(keys)]


def test_a_signal_asks_for_an_incremental_snapshot_of_the_keys() -> None:
    [data] = snapshot_signals(["A", "B"])
    assert orjson.loads(data) == {
        "type": "incremental",
        "data-collections": ["public.products"],
        "additional-conditions": [{"data-collection": "public.products", "filter": "article_id IN ('A', 'B')"}],
    }


def test_a_quote_in_a_key_is_doubled() -> None:
    assert filters("x'); DROP TABLE products; --") == ["article_id IN ('x''); DROP TABLE products; --')"]


def test_many_keys_make_several_signals_with_each_key_once() -> None:
    keys = [f"k{number}" for number in range(2 * KEYS_IN_A_SIGNAL + 1)]
    parts = filters(*keys)
    assert len(parts) == 3
    assert ", ".join(part.removeprefix("article_id IN (").removesuffix(")") for part in parts) == ", ".join(
        f"'{key}'" for key in keys
    )


def test_long_keys_make_several_signals() -> None:
    key = "k" * (KEY_BYTES_IN_A_SIGNAL // 2)
    assert len(filters(key, key, key)) == 2


def test_no_keys_make_no_signal() -> None:
    assert filters() == []
