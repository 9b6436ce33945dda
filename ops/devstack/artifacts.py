"""The Java archives that the stack runs, fetched once into the user's cache by what `artifacts.lock` says of each."""

import errno
import hashlib
import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import platformdirs
import requests
from filelock import FileLock
from jgo.maven import MavenContext, PythonResolver
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_fixed

from schemas.errors import StackError

LOCK_FILE = Path(__file__).with_name("artifacts.lock")
THREADS = 8
TIMEOUT_SECONDS = 20
ATTEMPTS = 3

PLUGIN_TYPE = "tar.gz"

# jgo warns of a wrong sha1 and goes on; here every file is checked against the lock, and a wrong one is fetched again.
logging.getLogger("jgo").setLevel(logging.ERROR)


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """One line of the lock."""

    group: str
    name: str
    version: str
    type: str
    classifier: str
    size: int
    sha256: str

    def __str__(self) -> str:
        return f"{self.group}:{self.name}:{self.version}"

    def is_intact(self, path: Path) -> bool:
        """Whether the file is there, whole and the very one that was locked."""
        try:
            if path.stat().st_size != self.size:
                return False
            with path.open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest() == self.sha256
        except FileNotFoundError:
            return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifacts:
    """Verified files in the cache: the jars of broker and Connect, and Debezium's plugin, still packed."""

    jars: tuple[Path, ...]
    plugin: Path


class _StoppedError(Exception):
    """Somebody else's failure, or Ctrl-C, ended the fetch."""


class _DamagedError(Exception):
    """What came is not what was locked."""


OnBytes = Callable[[int], None]
"""Takes the number of bytes that came, from several threads."""

Progress = Callable[[int], AbstractContextManager[OnBytes]]
"""Takes the number of bytes that are missing, if there are any."""


def cache_directory() -> Path:
    """Where the archives stay, shared by all stacks of this user."""
    return platformdirs.user_cache_path("lockstep") / "maven"


def read_lock(path: Path = LOCK_FILE) -> tuple[Artifact, ...]:
    """The lock's lines: group, name, version, type, classifier or `-`, size in bytes, sha256."""
    artifacts = []
    for line in path.read_text(encoding="ascii").splitlines():
        group, name, version, kind, classifier, size, sha256 = line.split()
        artifacts.append(
            Artifact(
                group=group,
                name=name,
                version=version,
                type=kind,
                classifier="" if classifier == "-" else classifier,
                size=int(size),
                sha256=sha256,
            )
        )
    return tuple(artifacts)


class Fetch:
    """One fetch of everything in the lock. Blocks: run it in a thread, and `stop` it from another.

    `repositories` are names and addresses; None is Maven's own public one.
    """

    def __init__(
        self,
        cache: Path,
        artifacts: tuple[Artifact, ...],
        progress: Progress | None = None,
        repositories: dict[str, str] | None = None,
    ) -> None:
        self._cache = cache
        self._artifacts = artifacts
        self._show = progress or (lambda missing_bytes: nullcontext(_ignore))
        self._stopped = threading.Event()
        self._on_bytes: OnBytes = _ignore
        self._context = MavenContext(
            repo_cache=cache,
            remote_repos=repositories,
            timeout=TIMEOUT_SECONDS,
            resolver=PythonResolver(progress_callback=self._progress),
        )

    def stop(self) -> None:
        """End `run` soon."""
        self._stopped.set()

    def run(self) -> Artifacts:
        """Fetch what is missing or damaged, verify all, and give the paths.

        Raises:
            StackError: The repository cannot be reached, the disk is full, or a file is not what was locked.
        """
        try:
            self._cache.mkdir(parents=True, exist_ok=True)
            # Two stacks that start at once must not write the same file.
            with FileLock(self._cache / ".lock"):
                missing = [artifact for artifact in self._artifacts if not artifact.is_intact(self._path(artifact))]
                if missing:
                    with self._show(sum(artifact.size for artifact in missing)) as self._on_bytes:
                        self._fetch_all(missing)
        except OSError as error:
            raise _disk_error(error, self._cache) from error
        jars = tuple(self._path(artifact) for artifact in self._artifacts if artifact.type == "jar")
        (plugin,) = (self._path(artifact) for artifact in self._artifacts if artifact.type == PLUGIN_TYPE)
        return Artifacts(jars=jars, plugin=plugin)

    def _fetch_all(self, missing: list[Artifact]) -> None:
        with ThreadPoolExecutor(THREADS, thread_name_prefix="fetch") as pool:
            futures = [pool.submit(self._fetch, artifact) for artifact in missing]
            try:
                for future in as_completed(futures):
                    future.result()
            except BaseException:
                self._stopped.set()
                pool.shutdown(cancel_futures=True)
                raise

    def _fetch(self, artifact: Artifact) -> None:
        retrying = Retrying(
            retry=retry_if_exception_type((requests.RequestException, _DamagedError)),
            wait=wait_fixed(0.5),
            stop=stop_after_attempt(ATTEMPTS),
            reraise=True,
        )
        try:
            retrying(self._fetch_once, artifact)
        except requests.RequestException as error:
            raise StackError(
                f"cannot fetch {artifact}: {_reason(error)}",
                hint="check the network (a proxy is set with HTTPS_PROXY), then run it again",
            ) from error
        except _DamagedError as error:
            raise StackError(
                f"cannot use {artifact}: what the Maven repository sent is not the file that was locked",
                hint="a proxy may have changed it; if it is right now, lockstep itself needs a new version",
            ) from error
        except RuntimeError as error:  # what jgo raises for a status other than 200
            raise StackError(
                f"cannot fetch {artifact}: the Maven repository does not have it or refuses", hint="try again later"
            ) from error

    def _fetch_once(self, artifact: Artifact) -> None:
        path = self._path(artifact)
        path.unlink(missing_ok=True)  # jgo takes any file that is there for a whole one
        self._maven(artifact).resolve()
        if not artifact.is_intact(path):
            path.unlink(missing_ok=True)
            raise _DamagedError

    def _maven(self, artifact: Artifact) -> Any:
        component = self._context.project(artifact.group, artifact.name).at_version(artifact.version)
        return component.artifact(artifact.classifier, artifact.type)

    def _path(self, artifact: Artifact) -> Path:
        path: Path = self._maven(artifact).cached_path
        return path

    @contextmanager
    def _progress(self, name: str, size: int) -> Iterator[OnBytes]:
        def update(count: int) -> None:
            if self._stopped.is_set():
                raise _StoppedError(name)
            self._on_bytes(count)

        yield update


def _ignore(count: int) -> None:
    """Where nobody looks."""


def _reason(error: requests.RequestException) -> str:
    match error:
        case requests.Timeout():
            return "the Maven repository does not answer in time"
        case requests.exceptions.SSLError():
            return "the Maven repository's certificate is not trusted"
        case requests.ConnectionError():
            return "the Maven repository cannot be reached"
        case _:
            return f"the download broke off ({type(error).__name__})"


def _disk_error(error: OSError, cache: Path) -> StackError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StackError(f"no space left for the stack's archives in {cache}", hint="free about 70 MB there")
    return StackError(
        f"cannot write the stack's archives to {cache}: {error.strerror or error}",
        hint="make it writable, or set XDG_CACHE_HOME",
    )
