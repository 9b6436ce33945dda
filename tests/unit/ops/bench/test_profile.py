"""A profile by py-spy: what is said when it is missing or may not look, and that its samples are awaited."""

import os
import shutil
import sys
from pathlib import Path

import psutil
import pytest

from ops.bench.profile import find_profiler, sampled
from schemas.errors import StackError

SAMPLES = "thread (1): MainThread;run (streams/indexer.py:1) 7"


def a_profiler(folder: Path, script: str) -> str:
    """A program that takes py-spy's options; `$output` is where it writes its samples."""
    path = folder / "py-spy"
    path.write_text(f"#!/bin/sh\noutput=$7\n{script}\n")
    path.chmod(0o755)
    return str(path)


def pid_in(path: Path) -> int:
    return int(path.read_text())


async def test_samples_are_written_by_the_end_of_the_block(tmp_path: Path) -> None:
    # Not a shell: it cannot trap a signal that is ignored at its start, as SIGINT is in what runs in the background.
    profiler = tmp_path / "py-spy"
    profiler.write_text(f"""#!{sys.executable}
import pathlib, signal, sys
def end(*_):
    pathlib.Path(sys.argv[7]).write_text({SAMPLES!r})
    sys.exit()
signal.signal(signal.SIGINT, end)
print("py-spy> Sampling process 200 times a second. Press Control-C to exit.", flush=True)
while True:
    signal.pause()
""")
    profiler.chmod(0o755)
    to = tmp_path / "bench" / "profile.folded"
    async with sampled(os.getpid(), str(profiler), to):
        assert not to.exists()
    assert to.read_text().strip() == SAMPLES


async def test_profiler_that_may_not_look_is_told_apart(tmp_path: Path) -> None:
    denied = 'echo "Permission Denied: Try running again with elevated permissions" >&2; exit 1'
    with pytest.raises(StackError, match="may not look into") as caught:
        async with sampled(os.getpid(), a_profiler(tmp_path, denied), tmp_path / "p.folded"):
            pytest.fail("nothing is measured")
    assert "ptrace" in str(caught.value.hint)


async def test_what_else_the_profiler_says_is_passed_on(tmp_path: Path) -> None:
    with pytest.raises(StackError, match="took no samples: no such process"):
        async with sampled(1, a_profiler(tmp_path, "echo no such process; exit 1"), tmp_path / "p.folded"):
            pytest.fail("nothing is measured")


async def test_profiler_is_ended_when_the_work_fails(tmp_path: Path) -> None:
    waits = 'echo $$ > "$output.pid"; echo "py-spy> Sampling process"; while :; do read -r line < /dev/null; done'
    to = tmp_path / "p.folded"
    with pytest.raises(ZeroDivisionError):
        async with sampled(os.getpid(), a_profiler(tmp_path, waits), to):
            _ = 1 / 0
    assert not psutil.pid_exists(pid_in(Path(f"{to}.pid")))


def test_profiler_is_found_beside_the_interpreter_or_on_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(StackError, match="py-spy is not installed") as caught:
        find_profiler()
    assert caught.value.hint == "pip install py-spy"
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    assert find_profiler() == "/usr/bin/py-spy"
    beside = a_profiler(tmp_path, "exit 0")
    assert find_profiler() == beside
