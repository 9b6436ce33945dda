"""A thread outside the event loop that ends a worker which cannot work."""

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import NoReturn

from streams.lease import Pulse
from streams.web import STALLED_AFTER_SECONDS

LOOK_EVERY_SECONDS = 0.5
REBALANCE_SECONDS = 180.0
"""More than a join and a request of it may take together, however short the session is."""
CONTESTED_AFTER_LOSSES = 6
"""Two live workers of one name take the membership from each other for ever; restarts of others are not that many."""


class Watchdog(threading.Thread):
    """Stops the process when the loop is blocked, a join never completes, or its name is contested.

    Faust stays up without partitions after a fatal error at its first join, and its own timers start only after it. So
    it does after a recovery that the broker kept waiting for longer than a request may take.
    """

    def __init__(
        self,
        pulse: Pulse,
        partitions: Callable[[], frozenset[int] | None],
        session_timeout_seconds: float,
        stop: Callable[[str], NoReturn],
    ) -> None:
        super().__init__(name="watchdog", daemon=True)
        self._pulse = pulse
        self._partitions = partitions
        self._join_within = 3 * session_timeout_seconds
        self._rebalance_within = max(self._join_within, REBALANCE_SECONDS)
        self._stop_process = stop
        self._ended = threading.Event()

    def run(self) -> None:
        """Look twice a second until told to stop."""
        last_had = time.monotonic()
        joined = False
        losses: deque[float] = deque(maxlen=CONTESTED_AFTER_LOSSES)
        had_partitions = False
        while not self._ended.wait(LOOK_EVERY_SECONDS):
            has_partitions = self._partitions() is not None
            joined = joined or has_partitions
            if had_partitions and not has_partitions:
                losses.append(time.monotonic())
                if len(losses) == CONTESTED_AFTER_LOSSES and losses[-1] - losses[0] < self._join_within:
                    self._stop_process("partitions come and go: does another worker have this name?")
            had_partitions = has_partitions
            if has_partitions:
                last_had = time.monotonic()
            elif not joined and time.monotonic() - last_had > self._join_within:
                self._stop_process(f"no partitions were assigned within {self._join_within:.0f} s")
            elif time.monotonic() - last_had > self._rebalance_within:
                self._stop_process(f"a rebalance has not ended within {self._rebalance_within:.0f} s")
            if joined and (silence := self._pulse.silence_seconds()) > STALLED_AFTER_SECONDS:
                self._stop_process(f"the event loop has not run for {silence:.0f} s")

    def stop(self) -> None:
        """Let the process live."""
        self._ended.set()
