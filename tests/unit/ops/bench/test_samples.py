"""Folded stacks are added up by thread and by module."""

from io import StringIO

import pytest
from rich.console import Console

from ops.bench.samples import OTHERS, ModuleTime, Profile, module_of, read_samples

LOOP = "thread (0x7F): MainThread;run (asyncio/runners.py:190)"
LINES = [
    f"{LOOP};Indexer.apply (streams/indexer.py:104);_row (schemas/debezium.py:202) 30",
    f"{LOOP};Indexer.apply (streams/indexer.py:104);send (httpx/_client.py:9);write (httpx/_transports/asgi.py:3) 10",
    f"{LOOP};EpollSelector.select (selectors.py:451) 900",
    "thread (12): embedding_0;_worker (concurrent/futures/thread.py:58);run (onnxruntime/capi/session.py:220) 60",
    "thread (12): embedding_0;_worker (concurrent/futures/thread.py:69) 500",
    "thread (13);list_offsets (confluent_kafka/admin/__init__.py:1265) 5",
    "thread (13) 7",
    "",
]


@pytest.fixture
def profile() -> Profile:
    return read_samples(LINES, samples_a_second=100)


@pytest.mark.parametrize(
    ("frame", "module"),
    [
        ("Indexer.apply (streams/indexer.py:104)", "streams.indexer"),
        ("serve (ops/api/__init__.py:4)", "ops.api"),
        ("encode (aiokafka/record/util.py:9)", "aiokafka"),
        ("uuid5 (uuid.py:725)", "uuid"),
        ("__create_fn__.<locals>.__init__ (<string>:2)", "<string>"),
        ("something else", "something else"),
    ],
)
def test_frames_of_lockstep_keep_their_module_and_those_of_a_library_its_name(frame: str, module: str) -> None:
    assert module_of(frame) == module


def test_threads_that_wait_do_not_count(profile: Profile) -> None:
    assert profile.threads == {"MainThread": 40, "embedding_0": 60, OTHERS: 5}
    assert profile.samples == 105


def test_module_counts_once_a_stack_and_itself_only_on_top(profile: Profile) -> None:
    times = {time.module: time for time in profile.modules}
    assert times["streams.indexer"] == ModuleTime(module="streams.indexer", own=0, inclusive=40)
    assert times["httpx"] == ModuleTime(module="httpx", own=10, inclusive=10)
    assert times["onnxruntime"].own == 60
    assert sum(time.own for time in profile.modules) == profile.samples


def test_profile_fits_eighty_columns_and_leaves_small_modules_out() -> None:
    long_names = f"{LOOP};f (ops/{'deep/' * 20}x.py:1) 20"
    found = read_samples([*LINES, long_names, "thread (1): t;f (tiny/a.py:1) 1"], samples_a_second=100)
    shown = StringIO()
    for table in found.tables():
        Console(file=shown, width=80).print(table)
    text = shown.getvalue()
    assert "tiny" not in text
    assert "streams.indexer" in text
    assert max(map(len, text.splitlines())) <= 80


def test_no_samples_give_empty_tables() -> None:
    assert all(table.row_count == 0 for table in read_samples([], samples_a_second=100).tables())
