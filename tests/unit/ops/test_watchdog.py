"""The thread that ends a worker which cannot work."""

import threading
from collections.abc import Callable
from itertools import chain, cycle, repeat

import pytest

from ops import watchdog
from ops.watchdog import Watchdog
from streams.lease import Pulse

SOME = frozenset({0})


class StoppedError(Exception):
    """Stands for the end of the process."""


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchdog, "LOOK_EVERY_SECONDS", 0.001)


def reason(partitions: Callable[[], frozenset[int] | None], silence: float = 0.0, session: float = 0.05) -> str | None:
    """Run the watchdog for half a second at most; why it stopped the process."""
    reasons: list[str] = []

    def stop(why: str) -> None:
        reasons.append(why)
        raise StoppedError

    pulse = Pulse(limit_seconds=1000, stop=stop, clock=iter(chain([0.0], repeat(silence))).__next__)  # type: ignore[arg-type]
    dog = Watchdog(pulse, partitions, session, stop)  # type: ignore[arg-type]
    timer = threading.Timer(0.5, dog.stop)
    timer.start()
    try:
        dog.run()
    except StoppedError:
        timer.cancel()
    return reasons[0] if reasons else None


def test_a_first_join_that_never_completes_ends_the_worker() -> None:
    assert "no partitions were assigned" in (reason(lambda: None) or "")


def test_a_blocked_loop_ends_the_worker() -> None:
    assert "has not run for 61 s" in (reason(lambda: SOME, silence=61.0) or "")


def test_a_name_used_twice_ends_the_worker() -> None:
    assert "another worker have this name" in (reason(cycle([SOME, None]).__next__, session=100.0) or "")


def test_a_worker_that_works_is_left_alone() -> None:
    assert reason(lambda: SOME) is None


def test_a_rebalance_that_never_ends_ends_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    endless = chain([SOME] * 3, repeat(None)).__next__
    assert reason(endless) is None  # a short session is no reason: others may take longer to join
    monkeypatch.setattr(watchdog, "REBALANCE_SECONDS", 0.1)
    assert "a rebalance has not ended" in (reason(chain([SOME] * 3, repeat(None)).__next__) or "")


def test_rebalances_that_end_leave_the_worker_alone() -> None:
    assert reason(chain([None] * 3, repeat(SOME)).__next__) is None
