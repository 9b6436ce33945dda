"""The archives of the stack: nothing is used that is not the very file that was locked."""

import gc
import hashlib
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from ops.devstack.artifacts import Artifact, Fetch, read_lock
from schemas.errors import StackError

# jgo does not close its connection after an answer other than 200.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

CONTENT = {"jar": b"class path" * 1000, "tar.gz": b"plugin" * 1000}


class _Repository(SimpleHTTPRequestHandler):
    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        super().do_GET()

    def log_message(self, format: str, *args: Any) -> None:
        """Silent."""


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return tmp_path / "repository"


@pytest.fixture
def asked() -> list[str]:
    return []


@pytest.fixture
def url(repository: Path, asked: list[str]) -> Iterator[str]:
    handler = type("Handler", (_Repository,), {"asked": asked})
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(repository))) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()
    gc.collect()  # so that a connection that jgo left open is told of here


@pytest.fixture
def artifacts(repository: Path) -> tuple[Artifact, ...]:
    made = tuple(
        Artifact(
            group="org.example",
            name=f"part-{kind[:3]}",
            version="1.0",
            type=kind,
            classifier="plugin" if kind == "tar.gz" else "",
            size=len(content),
            sha256=hashlib.sha256(content).hexdigest(),
        )
        for kind, content in CONTENT.items()
    )
    for artifact in made:
        path = _place(repository, artifact)
        path.parent.mkdir(parents=True)
        path.write_bytes(CONTENT[artifact.type])
    return made


def _place(root: Path, artifact: Artifact) -> Path:
    suffix = f"-{artifact.classifier}" if artifact.classifier else ""
    name = f"{artifact.name}-{artifact.version}{suffix}.{artifact.type}"
    return root / "org/example" / artifact.name / artifact.version / name


def _fetch(cache: Path, artifacts: tuple[Artifact, ...], url: str) -> Fetch:
    return Fetch(cache, artifacts, repositories={"test": url})


def test_the_lock_names_each_archive_once_with_its_hash() -> None:
    artifacts = read_lock()
    assert len({(artifact.group, artifact.name) for artifact in artifacts}) == len(artifacts) == 92
    assert all(len(bytes.fromhex(artifact.sha256)) == 32 and artifact.size > 0 for artifact in artifacts)
    assert [artifact.name for artifact in artifacts if artifact.type != "jar"] == ["debezium-connector-postgres"]


def test_what_is_missing_is_fetched_once(
    tmp_path: Path, artifacts: tuple[Artifact, ...], url: str, asked: list[str]
) -> None:
    got = _fetch(tmp_path / "cache", artifacts, url).run()
    assert [path.read_bytes() for path in got.jars] == [CONTENT["jar"]]
    assert got.plugin.read_bytes() == CONTENT["tar.gz"]
    asked.clear()
    assert _fetch(tmp_path / "cache", artifacts, url).run() == got
    assert asked == []


@pytest.mark.parametrize(
    "damage", [b"", CONTENT["jar"][:-1], CONTENT["jar"][:-1] + b"!"], ids=["empty", "cut", "other"]
)
def test_a_damaged_file_is_fetched_again(
    damage: bytes, tmp_path: Path, artifacts: tuple[Artifact, ...], url: str
) -> None:
    (jar,) = _fetch(tmp_path / "cache", artifacts, url).run().jars
    jar.write_bytes(damage)
    _fetch(tmp_path / "cache", artifacts, url).run()
    assert jar.read_bytes() == CONTENT["jar"]


def test_a_file_that_is_not_the_locked_one_is_refused_and_not_kept(
    tmp_path: Path, artifacts: tuple[Artifact, ...], url: str, repository: Path
) -> None:
    _place(repository, artifacts[0]).write_bytes(CONTENT["jar"][:-1] + b"!")
    with pytest.raises(StackError, match=r"org\.example:part-jar:1\.0: .* not the file that was locked"):
        _fetch(tmp_path / "cache", artifacts, url).run()
    assert not _place(tmp_path / "cache", artifacts[0]).exists()


def test_a_file_that_the_repository_lacks_is_said(
    tmp_path: Path, artifacts: tuple[Artifact, ...], url: str, repository: Path
) -> None:
    _place(repository, artifacts[1]).unlink()
    with pytest.raises(StackError, match=r"cannot fetch org\.example:part-tar:1\.0"):
        _fetch(tmp_path / "cache", artifacts, url).run()


def test_an_unreachable_repository_is_one_sentence_with_a_hint(tmp_path: Path, artifacts: tuple[Artifact, ...]) -> None:
    with pytest.raises(StackError, match="the Maven repository cannot be reached") as raised:
        _fetch(tmp_path, artifacts, "http://127.0.0.1:1").run()
    assert raised.value.hint


def test_a_cache_that_cannot_be_written_is_said(tmp_path: Path, artifacts: tuple[Artifact, ...], url: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StackError, match="cannot write the stack's archives"):
        _fetch(tmp_path / "file/cache", artifacts, url).run()


def test_two_fetches_into_one_cache_do_not_write_the_same_file(
    tmp_path: Path, artifacts: tuple[Artifact, ...], url: str, asked: list[str]
) -> None:
    fetches = [_fetch(tmp_path / "cache", artifacts, url) for _ in range(2)]
    threads = [threading.Thread(target=fetch.run) for fetch in fetches]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    files = [path for path in asked if not path.endswith(".sha1")]
    assert sorted(files) == sorted(set(files))
    assert len(files) == len(artifacts)
