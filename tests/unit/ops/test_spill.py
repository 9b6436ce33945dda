"""The last state of each key is kept in bounded memory."""

import resource
from collections.abc import Iterator

import pytest

from ops.backfill.spill import Latest, LatestFile
from schemas.errors import ReplayError


def entry(key: str, *, alive: bool = True, changed: bool = True, text: bytes = b"x") -> Latest:
    return Latest(
        key=key,
        partition=2,
        operation="u",
        lsn=None,
        source_time_ms=7,
        alive=alive,
        changed=changed,
        entry=text,
    )


@pytest.fixture
def file() -> Iterator[LatestFile]:
    file = LatestFile(cache_kibibytes=64)
    yield file
    file.close()


def test_entries_are_read_back_also_from_beyond_the_memory(file: LatestFile) -> None:
    rows = [entry(f"key {number}", text=bytes([number % 256]) * 1000) for number in range(2000)]
    file.put(rows)
    assert len(file) == 2000
    assert file.get(["key 3", "key 1999", "other"]) == {"key 3": rows[3], "key 1999": rows[1999]}


def test_changed_keys_are_given_once_the_shortest_first(file: LatestFile) -> None:
    file.put([entry("long", text=b"xxx"), entry("gone", alive=False), entry("short"), entry("still", changed=False)])
    assert file.take_changed() == (["short", "long"], ["gone"])
    assert file.take_changed() == ([], [])


def test_change_that_was_not_taken_is_not_forgotten(file: LatestFile) -> None:
    file.put([entry("A")])
    file.put([entry("A", changed=False, text=b"incomplete")])
    assert file.take_changed() == (["A"], [])
    assert file.get(["A"])["A"].entry == b"incomplete"


def test_any_text_is_a_key(file: LatestFile) -> None:
    keys = ["", "'", '"', "\\", "\n", "é", "\U0001f457", "a,b", "[1]"]
    file.put([entry(key) for key in keys])
    assert set(file.get(keys)) == set(keys)


def test_keys_are_drawn_among_rows_only(file: LatestFile) -> None:
    file.put([entry("A"), entry("B"), entry("gone", alive=False)])
    assert set(file.sample_alive(5)) == {"A", "B"}
    assert len(file.sample_alive(1)) == 1


def test_no_space_is_said_in_a_sentence(file: LatestFile) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (256 * 1024, hard))
    try:
        with pytest.raises(ReplayError, match="cannot keep the rows of the topic in a temporary file") as caught:
            file.put([entry(f"{number}", text=b"x" * 1000) for number in range(10_000)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "SQLITE_TMPDIR" in (caught.value.hint or "")
