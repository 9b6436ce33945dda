"""The source: Postgres 18 from a wheel. Run by root, it becomes `nobody`, as Postgres refuses to run as root."""

import asyncio
import os
import subprocess
from collections.abc import Sequence
from signal import SIGINT, SIGQUIT
from typing import Any

import psutil

from ops.devstack.home import StackHome
from ops.devstack.ports import HOST, Ports
from ops.devstack.postgres_place import PostgresPlace
from ops.devstack.processes import Launch, StopSignals
from schemas.errors import StackError

USUAL_PORT = 5432
DATABASE = "shop"
SUPERUSER = "postgres"
_INITDB_SECONDS = 60
_POLL_SECONDS = 0.05

_OPTIONS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "wal_level": "logical",
    "max_wal_senders": "8",
    "max_replication_slots": "8",
    "max_connections": "50",
    "shared_buffers": "32MB",
    # Trial data: a power cut may cost it, a killed process does not.
    "fsync": "off",
    # Without it a commit reaches Debezium only when the WAL writer wakes up, and a SIGKILL loses the last of them.
    "synchronous_commit": "on",
    "full_page_writes": "off",
    "wal_sender_timeout": "10s",
    "jit": "off",
    "max_slot_wal_keep_size": "1GB",
}


class Postgres:
    """One server with logical decoding; its superuser's password is the stack's."""

    name = "postgres"
    start_seconds = 60.0
    # SIGINT waits for Debezium when it is connected; SIGQUIT does not, and costs a recovery at the next start.
    stop_signals: StopSignals = ((SIGINT, 5.0), (SIGQUIT, 10.0))

    def __init__(self, home: StackHome, ports: Ports) -> None:
        self._home = home
        self._ports = ports
        self._place = PostgresPlace(home.path / "postgres")

    @property
    def mark(self) -> str:
        """Its data directory, which moves at the first start if it must."""
        return str(self._place.data)

    @property
    def address(self) -> str:
        """Host, port and database."""
        return f"{HOST}:{self._ports['postgres']}/{DATABASE}"

    def dsn(self, user: str, password: str, database: str = DATABASE) -> str:
        """How a role connects."""
        return f"postgresql://{user}:{password}@{HOST}:{self._ports['postgres']}/{database}"

    def choose_ports(self) -> None:
        """Its port."""
        self._ports.choose("postgres", USUAL_PORT)

    def wipe(self) -> None:
        """Remove its data, wherever it lies."""
        self._place.wipe()

    async def prepare_launch(self) -> Launch:
        """At the first start, make its data directory."""
        try:
            self._place.make()
            if not self._place.data.exists():
                await asyncio.to_thread(self._create)
            self._forget_a_dead_postmaster()
        except OSError as error:
            raise StackError(f"cannot prepare Postgres in {self._place.base}: {error.strerror}") from error
        options = [f"{name}={value}" for name, value in (_OPTIONS | {"port": str(self._ports["postgres"])}).items()]
        return Launch(
            command=[
                str(self._place.program("postgres")),
                "-D",
                str(self._place.data),
                *(part for option in options for part in ("-c", option)),
            ],
            directory=self._place.base,
            owner=self._place.owner,
        )

    async def wait_until_ready(self) -> None:
        """Until it accepts connections, its recovery behind it: it says so in its own file.

        A connection that came earlier would be refused with a FATAL in its log.
        """
        while not self._says_ready():
            await asyncio.sleep(_POLL_SECONDS)

    def _says_ready(self) -> bool:
        try:
            return (self._place.data / "postmaster.pid").read_text().splitlines()[7].strip() == "ready"
        except (FileNotFoundError, IndexError):
            return False

    def _create(self) -> None:
        """Made aside and renamed, so that a data directory is either whole or not there."""
        draft = self._place.base / "draft"
        password = self._place.base / "password"
        self._place.remove(draft)
        password.write_text(self._home.passwords().postgres, encoding="ascii")
        password.chmod(0o600)
        self._place.give(password)
        try:
            self._run(
                [
                    *(str(self._place.program("initdb")), "-D", str(draft), "-U", SUPERUSER, f"--pwfile={password}"),
                    *("--auth=scram-sha-256", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync", "--no-instructions"),
                ]
            )
            draft.rename(self._place.data)
        finally:
            password.unlink()

    def _run(self, command: Sequence[str]) -> None:
        identity: dict[str, Any] = {}
        if owner := self._place.owner:
            identity = {"user": owner.uid, "group": owner.gid, "extra_groups": []}
        try:
            done = subprocess.run(
                command,
                cwd=self._place.base,
                env=dict(os.environ),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=_INITDB_SECONDS,
                **identity,
            )
        except subprocess.TimeoutExpired as error:
            raise StackError(f"initdb took longer than {_INITDB_SECONDS} s") from error
        if done.returncode:
            words = [line for line in done.stderr.splitlines() if line.startswith("initdb: error")]
            words = words or done.stderr.strip().splitlines() or ["no reason given"]
            raise StackError(f"cannot make a database in {self._place.base}: {words[0]}")

    def _forget_a_dead_postmaster(self) -> None:
        """After a SIGKILL its lock file names a pid that may be anybody's by now: Postgres would refuse to start."""
        lock = self._place.data / "postmaster.pid"
        try:
            command = psutil.Process(int(lock.read_text().split("\n", 1)[0])).cmdline()
        except (FileNotFoundError, ValueError, psutil.NoSuchProcess):
            command = []
        if str(self._place.data) not in command:
            lock.unlink(missing_ok=True)
