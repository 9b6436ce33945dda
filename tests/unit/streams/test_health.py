"""What the worker says of itself when it does not get on."""

import pytest

from schemas.errors import VectorStoreError
from streams import health
from streams.health import Health


def test_a_worker_that_gets_on_has_no_trouble() -> None:
    assert Health().trouble() is None


def test_an_outage_is_told_with_its_reason_until_it_passes() -> None:
    state = Health()
    assert state.hold(VectorStoreError("qdrant is down"))
    assert not state.hold(VectorStoreError("qdrant is down"))
    assert state.trouble() == "held: qdrant is down"
    assert state.release() is not None
    assert state.trouble() is None


def test_a_broker_that_confirms_nothing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    state = Health()
    with state.confirming():
        assert state.trouble() is None
        monkeypatch.setattr(health, "CONFIRMED_WITHIN_SECONDS", -1.0)
        assert "the broker has confirmed nothing" in (state.trouble() or "")
    assert state.trouble() is None


def test_time_that_the_broker_took_is_not_lost_when_something_else_is_held_too() -> None:
    now = 0.0
    state = Health(clock=lambda: now)
    with state.confirming():
        now = 20.0
        before = state.held_seconds()["broker"]
        state.hold(VectorStoreError("qdrant is down"), by="the next batch")
        now = 30.0
        during = state.held_seconds()["broker"]
    assert (before, during, state.held_seconds()["broker"]) == (20.0, 30.0, 30.0)
    assert state.held_seconds()["qdrant"] == 10.0
