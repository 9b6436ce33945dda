"""The file of a worker's audit trail."""

from pathlib import Path

import pytest

from ops.trail import FileTrail, read_trail
from schemas.errors import SettingsError
from schemas.record import Place

PLACES = [Place(topic="t", partition=0, offset=offset) for offset in range(3)]


def test_workers_append_to_one_file(tmp_path: Path) -> None:
    path = tmp_path / "trail"
    FileTrail(path, "worker-1").note([(PLACES[0], "upsert_point"), (PLACES[1], "keep")])
    FileTrail(path, "worker-2").note([(PLACES[2], "dead_letter")])
    assert read_trail(path) == [("t[0]@0", "upsert_point"), ("t[0]@1", "keep"), ("t[0]@2", "dead_letter")]


def test_a_line_that_was_cut_off_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "trail"
    FileTrail(path, "worker-1").note([(PLACES[0], "keep")])
    with path.open("a") as file:
        file.write("2026-11-21T10:00:00Z worker-1 t[0]@")
    assert read_trail(path) == [("t[0]@0", "keep")]


def test_a_file_that_cannot_be_written_is_a_wrong_setting(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"LOCKSTEP_WORKER_TRAIL=.*missing/trail cannot be written: No such file"):
        FileTrail(tmp_path / "missing" / "trail", "worker-1")
