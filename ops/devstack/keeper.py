"""The program behind `lockstep up`: it starts the stack, restarts workers that end, and stops all when it is told to.

Who holds `run/up.lock` is the keeper; the kernel takes the lock back when it dies, so a dead one blocks nobody.
"""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import psutil
from filelock import FileLock, Timeout

from ops.devstack.home import StackHome
from ops.devstack.stack import SERVICES, Say, Stack
from ops.terminal import ExitCode
from schemas.errors import StackError

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_LOOK_SECONDS = 0.2
_FIRST_WAIT_SECONDS = 0.5
_LONGEST_WAIT_SECONDS = 30.0
_STEADY_SECONDS = 60.0
"""A worker that ran this long has its next wait short again."""
_CRASHES = 6
_CRASHED_WITHIN_SECONDS = 15.0
_NO_CRASH = (0, int(ExitCode.UNREACHABLE))
"""Told to stop; the broker is away."""
_STOP_SECONDS = 120.0
_ENDING_SECONDS = 2.0


class KeeperFiles:
    """Where a keeper says that it is there, and that all is ready."""

    def __init__(self, home: StackHome) -> None:
        self.lock = home.run / "up.lock"
        self.pid_file = home.run / "up.pid"
        self.ready = home.run / "up.ready"
        self.log = home.logs / "up.log"

    def pid(self) -> int | None:
        """The keeper that runs, or None. Raises `StackError` when it is another user's."""
        try:
            pid = int(self.pid_file.read_text())
            # A pid alone may be anybody's by now; the keeper has the lock open.
            return pid if str(self.lock) in {file.path for file in psutil.Process(pid).open_files()} else None
        except (FileNotFoundError, ValueError, psutil.NoSuchProcess):
            return None
        except (PermissionError, psutil.AccessDenied) as error:
            if isinstance(error, psutil.AccessDenied) and self.pid_file.stat().st_uid == os.getuid():
                return None  # our keeper is ending, or has ended and its pid is another user's by now
            raise StackError("another user runs this stack", hint="run lockstep as that user") from error

    def is_ready(self, pid: int) -> bool:
        """Whether the keeper with this pid has started everything."""
        try:
            return self.ready.read_text() == str(pid)
        except FileNotFoundError:
            return False

    @contextmanager
    def held(self) -> Iterator[None]:
        """Be the keeper. Raises `StackError` when there is one."""
        try:
            # A moment, for a keeper that is ending.
            with FileLock(self.lock).acquire(timeout=_ENDING_SECONDS):
                self.pid_file.write_text(str(os.getpid()))
                try:
                    yield
                finally:
                    self.ready.unlink(missing_ok=True)
                    self.pid_file.unlink(missing_ok=True)
        except Timeout as error:
            raise StackError("this stack is being kept already", hint="stop it with `lockstep down`") from error


async def keep(stack: Stack, *, say: Say, on_ready: Callable[[tuple[str, ...]], None]) -> bool:
    """Start everything and keep it until a signal comes; then stop everything.

    `on_ready` takes the names of what was started. Gives False when the signal came before that.

    Raises:
        LockstepError: Something cannot be started; all has been stopped again.
    """
    stack.home.make()
    files = KeeperFiles(stack.home)
    told_to_stop = asyncio.Event()
    with files.held(), _signals_set(told_to_stop):
        telling = asyncio.create_task(told_to_stop.wait())
        starting = asyncio.create_task(stack.start())
        try:
            await asyncio.wait({telling, starting}, return_when=asyncio.FIRST_COMPLETED)
            if not starting.done():
                return False
            on_ready(starting.result())
            files.ready.write_text(str(os.getpid()))
            await _watch(stack, telling, say)
            return True
        finally:
            telling.cancel()
            starting.cancel()
            await asyncio.wait({telling, starting})
            say("stopping")
            await stack.stop()
            say("stopped")


async def detach(home: StackHome, arguments: Sequence[str], say: Say) -> int:
    """Start a keeper in the background, pass on what it says, and return 0 once all is ready, or its exit code.

    Cancelled, it stops that keeper and what it started.
    """
    home.make()
    files = KeeperFiles(home)
    with files.log.open("ab") as log, files.log.open(encoding="utf-8", errors="replace") as lines:
        lines.seek(0, os.SEEK_END)
        command = [sys.executable, "-m", "ops.cli", "up", *arguments]
        # Not asyncio's: that one ends its child together with the loop.
        keeper = subprocess.Popen(  # noqa: ASYNC220
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log, start_new_session=True
        )
        try:
            while True:
                code = keeper.poll()
                for line in lines:
                    say(line.rstrip("\n"))
                if code is not None or files.is_ready(keeper.pid):
                    return code or 0
                await asyncio.sleep(_LOOK_SECONDS)
        except asyncio.CancelledError:
            keeper.terminate()
            keeper.wait(_STOP_SECONDS)
            raise


async def until_ready(home: StackHome, pid: int) -> None:
    """Wait for a keeper that somebody else started. Raises `StackError` when it ends instead."""
    files = KeeperFiles(home)
    while not files.is_ready(pid):
        if files.pid() != pid:
            raise StackError("the `lockstep up` that was under way has ended", hint=f"see {files.log}")
        await asyncio.sleep(_LOOK_SECONDS)


async def dismiss(home: StackHome) -> bool:
    """Tell the keeper to stop everything, and wait until it has; False if there is none."""
    files = KeeperFiles(home)
    pid = files.pid()
    if pid is None:
        return False
    os.kill(pid, signal.SIGTERM)
    try:
        async with asyncio.timeout(_STOP_SECONDS):
            while files.pid() == pid:  # another program's state, so there is no event to wait for
                await asyncio.sleep(_LOOK_SECONDS)
    except TimeoutError:
        os.kill(pid, signal.SIGKILL)
    return True


async def _watch(stack: Stack, until: asyncio.Task[bool], say: Say) -> None:
    workers = [asyncio.create_task(_keep_or_tell(stack, name, say)) for name in stack.names if name not in SERVICES]
    servers = [asyncio.create_task(_tell_of_end(stack, name, say)) for name in stack.names if name in SERVICES]
    tasks = {until, *workers, *servers}
    try:
        # None but `until` ends by itself; an error that we do not know must not go unseen.
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def keep_worker(stack: Stack, name: str, say: Say) -> None:
    """Start a worker again whenever it ends, at once at first, then after longer and longer waits.

    Raises:
        StackError: It refused its settings, or ended by itself six times in a row soon after its start.
    """
    wait_seconds = _FIRST_WAIT_SECONDS
    started = time.monotonic()
    crashes = 0
    while True:
        await _until_ended(stack, name)
        ran_seconds = time.monotonic() - started
        code = stack.exit_code(name)
        crashed = code is not None and code > 0 and code not in _NO_CRASH and ran_seconds < _CRASHED_WITHIN_SECONDS
        crashes = crashes + 1 if crashed else 0
        if code == ExitCode.USAGE or crashes == _CRASHES:
            raise StackError(
                f"{name} is not started again: {stack.how_it_ended(name)}",
                hint=f"see {stack.log_file(name)}, then `lockstep up --detach`",
            )
        if ran_seconds > _STEADY_SECONDS:
            wait_seconds = _FIRST_WAIT_SECONDS
        say(f"{name} ended ({stack.how_it_ended(name)}); starting it again in {wait_seconds:g} s")
        await asyncio.sleep(wait_seconds)
        wait_seconds = min(2 * wait_seconds, _LONGEST_WAIT_SECONDS)
        started = time.monotonic()
        try:
            await stack.restart(name)
        except StackError as error:
            say(str(error))
        else:
            say(f"{name} is ready again")


async def _keep_or_tell(stack: Stack, name: str, say: Say) -> None:
    """Keep a worker; when it is given up, say so, and keep the others until a signal comes."""
    try:
        await keep_worker(stack, name, say)
    except StackError as error:
        say(f"GIVEN UP: {error}. Try: {error.hint}")
        await asyncio.Event().wait()


async def _tell_of_end(stack: Stack, name: str, say: Say) -> None:
    """Servers are not started again by themselves: why one ended is for a person to see."""
    while True:
        await _until_ended(stack, name)
        say(f"{name} ended ({stack.how_it_ended(name)}); start it again with `lockstep up --detach`")
        while not stack.is_running(name):  # another program's state
            await asyncio.sleep(_LOOK_SECONDS)


async def _until_ended(stack: Stack, name: str) -> None:
    while stack.is_running(name):  # another program's state
        await asyncio.sleep(_LOOK_SECONDS)


@contextmanager
def _signals_set(event: asyncio.Event) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    for number in SIGNALS:
        loop.add_signal_handler(number, event.set)
    try:
        yield
    finally:
        for number in SIGNALS:
            loop.remove_signal_handler(number)
