"""A worker's audit trail: a file with a line for each record and what became of it."""

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from schemas.errors import SettingsError
from schemas.product import time_text
from schemas.record import Place


class FileTrail:
    """`streams.ports.Trail` as lines of `time worker place outcome`, appended; it stays open.

    The lines of a batch are one write, done before the batch is committed: a record that the broker holds as committed
    stands in the trail of some worker, through a SIGKILL at any moment. A crash of the machine may lose the last lines.
    """

    def __init__(self, path: Path, worker: str) -> None:
        self._worker = worker
        try:
            self._descriptor = os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o644)
        except OSError as error:
            raise SettingsError(
                f"LOCKSTEP_WORKER_TRAIL={path} cannot be written: {error.strerror}",
                hint="name a file of a directory that exists",
            ) from error

    def note(self, outcomes: Sequence[tuple[Place, str]]) -> None:
        """Append the lines of a batch."""
        now = time_text(datetime.now(UTC))
        lines = (f"{now} {self._worker} {place} {outcome}\n" for place, outcome in outcomes)
        data = "".join(lines).encode()
        while data:
            data = data[os.write(self._descriptor, data) :]


def read_trail(path: Path) -> list[tuple[str, str]]:
    """Place and outcome of each line, in the order they were written; a line cut off in mid-write is left out."""
    text = path.read_text(encoding="utf-8")
    whole, _, _ = text.rpartition("\n")
    return [(place, outcome) for _, _, place, outcome in (line.split(" ") for line in whole.splitlines())]
