"""The rules that every app is made with."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from faust.types import TP

from schemas.errors import SettingsError
from streams import app as app_module
from streams.app import create_app


def new_app(directory: Path) -> Any:
    return create_app(
        "test",
        brokers="127.0.0.1:9",
        worker_name="worker-1",
        partitions=6,
        batch_records=10,
        session_timeout_seconds=10,
        data_directory=str(directory),
        web_host="127.0.0.1",
        web_port=6066,
    )


async def test_promise_1_fetches_are_quiesced_when_a_rebalance_is_complete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without it records are dropped and committed past, but only when one is in flight: a load shows it at times."""
    monkeypatch.setattr(app_module, "FETCH_RETURNS_WITHIN_SECONDS", 0.0)
    app = new_app(tmp_path)
    done: list[str] = []

    async def call_thread(function: Any, *_: Any) -> None:
        done.append(function.__name__)

    app.consumer = SimpleNamespace(
        stop_flow=lambda: done.append("stop flow"), _thread=SimpleNamespace(call_thread=call_thread)
    )
    app.flow_control = SimpleNamespace(suspend=lambda: done.append("suspend"))
    await cast(Any, app.on_rebalance_complete).send()
    assert done == ["stop flow", "suspend", "_rewind_uncommitted"]


async def test_partition_whose_queue_was_full_is_not_read_again_during_a_rebalance(tmp_path: Path) -> None:
    app = new_app(tmp_path)
    app.consumer = SimpleNamespace(_buffered_partitions={TP("source", 1)})
    await app.on_partitions_revoked.send({TP("source", 1)})
    assert app.consumer._buffered_partitions == set()


def test_promise_1_faust_without_its_compiled_parts_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("faust.streams._CStreamIterator", None)
    with pytest.raises(SettingsError, match="no compiled parts"):
        new_app(tmp_path)
