"""A server process of its own session: started with its log, known by the pid that it wrote itself, ended by pid."""

import asyncio
import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from schemas.errors import StackError

# It writes its pid before it becomes the server, so there is no moment at which a server runs unrecorded. The pid file
# comes as an open descriptor, because the server's user may not be allowed to open it.
_RECORD_PID = 'echo $$ >&0 && exec "$@" </dev/null'
_POLL_SECONDS = 0.03
_KILL_SECONDS = 10.0
_MAX_LOG_BYTES = 16 * 1024 * 1024
_TROUBLE = ("CRITICAL", "FATAL", "ERROR", "Error", "Exception")

StopSignals = Sequence[tuple[signal.Signals, float]]
"""What is sent to end a server, each signal with the seconds it is given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """The user that a server runs as, where that is not ourselves."""

    uid: int
    gid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """How a server is started. `environment` is the whole of it."""

    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    directory: Path | None = None
    owner: Owner | None = None


def told_end(code: int | None, *, log_file: Path, last_words: Callable[[], str]) -> str:
    """What to say of a server's end, from its exit code: negative for a signal, None if it is not known."""
    if code is None:
        return f"see {log_file}"
    if code < 0:
        return f"killed by {signal.Signals(-code).name}"
    return f"exit code {code}: {last_words()}" if code else "exit code 0"


class ServerProcess:
    """One server. `mark` is a part of its command line that nobody else's has: a path in this stack's directory.

    It outlives the object and the program that started it; another object with the same files finds it again.
    """

    def __init__(self, name: str, *, pid_file: Path, log_file: Path, mark: Callable[[], str]) -> None:
        self.name = name
        self.pid_file = pid_file
        self.log_file = log_file
        self._mark = mark
        self._child: subprocess.Popen[bytes] | None = None
        self._log_start = 0

    @property
    def is_running(self) -> bool:
        """Whether it runs, whoever started it."""
        return self._find() is not None

    @property
    def pid(self) -> int | None:
        """Its pid, if it runs."""
        process = self._find()
        return process.pid if process else None

    @property
    def exit_code(self) -> int | None:
        """Of a child of ours that has ended; negative for a signal."""
        self._reap()
        return self._child.returncode if self._child else None

    def how_it_ended(self) -> str:
        """Its exit code and last words, or its signal; where its log is, if it was not our child."""
        return told_end(self.exit_code, log_file=self.log_file, last_words=self.last_words)

    def start(self, launch: Launch) -> None:
        """Start it; it runs on when we end.

        Raises:
            StackError: The program cannot be run, or its files cannot be written.
        """
        owner = launch.owner
        self._reap()
        try:
            self._rotate_log()
            with self.pid_file.open("wb") as pid_file, self.log_file.open("ab") as log:
                self._log_start = log.tell()
                self._child = subprocess.Popen(
                    ["/bin/sh", "-c", _RECORD_PID, "sh", *launch.command],
                    stdin=pid_file,
                    stdout=log,
                    stderr=log,
                    env=launch.environment,
                    cwd=launch.directory,
                    start_new_session=True,
                    user=owner.uid if owner else None,
                    group=owner.gid if owner else None,
                    extra_groups=[] if owner else None,
                )
        except OSError as error:
            raise StackError(f"cannot start {self.name}: {error.strerror}: {error.filename}") from error

    def send(self, number: signal.Signals) -> None:
        """Send it a signal, if it runs."""
        if process := self._find():
            self._signal([process], number)

    async def stop(self, signals: StopSignals) -> bool:
        """End it and its children, with SIGKILL if nothing else helps. False if it did not run."""
        process = self._find()
        if process is None:
            return False
        family = [process, *_children(process)]
        for number, seconds in signals:
            self._signal([process], number)
            if await self._all_gone(family, seconds):
                break
        else:
            self._signal(family, signal.SIGKILL)
            await self._all_gone(family, _KILL_SECONDS)
        self._reap()
        return True

    def last_words(self) -> str:
        """The line of its log that says best why it ended: of what it wrote since its start, the last about trouble."""
        try:
            with self.log_file.open("rb") as log:
                log.seek(max(self._log_start, self.log_file.stat().st_size - 64 * 1024))
                lines = [line.strip() for line in log.read().decode(errors="replace").splitlines()]
        except FileNotFoundError:
            lines = []
        told = [line for line in lines if line and not line.startswith(("at ", "..."))]
        troubles = [line for line in told if any(word in line for word in _TROUBLE)]
        return (troubles or told or ["it wrote nothing to its log"])[-1][:300]

    def _find(self) -> psutil.Process | None:
        if self._child is not None:
            self._child.poll()  # so that a dead child does not stay as a zombie
        try:
            process = psutil.Process(int(self.pid_file.read_text()))
            ours = self._mark() in "\0".join(process.cmdline())
            return process if ours and process.status() != psutil.STATUS_ZOMBIE else None
        except (FileNotFoundError, ValueError, psutil.NoSuchProcess):
            return None
        except (PermissionError, psutil.AccessDenied) as error:
            raise StackError(
                f"cannot look after {self.name}, which another user started", hint="run lockstep as that user"
            ) from error

    def _signal(self, processes: Sequence[psutil.Process], number: signal.Signals) -> None:
        for process in processes:
            try:
                process.send_signal(number)
            except psutil.NoSuchProcess:
                continue
            except psutil.AccessDenied as error:
                raise StackError(
                    f"cannot end {self.name}, which another user started", hint="run lockstep as that user"
                ) from error

    async def _all_gone(self, family: Sequence[psutil.Process], seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                # It may not be our child, so there is nothing to wait on.
                while self._find() or any(_alive(process) for process in family):
                    await asyncio.sleep(_POLL_SECONDS)
        except TimeoutError:
            return False
        return True

    def _reap(self) -> None:
        """Take note of how a child ended that is known to have ended; a poll may come a moment too early."""
        if self._child is not None:
            self._child.wait(_KILL_SECONDS)

    def _rotate_log(self) -> None:
        if self.log_file.exists() and self.log_file.stat().st_size > _MAX_LOG_BYTES:
            self.log_file.replace(self.log_file.with_suffix(".log.1"))


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
