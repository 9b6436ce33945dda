"""What the endpoint keeps when its process ends, in good order or not, and how it says that it cannot start."""

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from signal import SIGKILL
from threading import Semaphore, Thread
from time import monotonic
from uuid import uuid4

import pytest
from qdrant_client import QdrantClient, models
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from tests.contract.qdrant_server import REAL_SERVER, Endpoint, free_port, launch, running_endpoint

pytestmark = pytest.mark.skipif(REAL_SERVER, reason="a real server's process is not ours to kill")

COLLECTION = "products-1"
WRITERS = 3
KEYS_PER_WRITER = 20
ACKNOWLEDGED_BEFORE_KILL = 60


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    with running_endpoint(tmp_path_factory.mktemp("qdrant")) as endpoint:
        yield endpoint


@pytest.fixture
def client(endpoint: Endpoint) -> Iterator[QdrantClient]:
    client = QdrantClient(url=endpoint.url)
    client.create_collection(
        COLLECTION,
        vectors_config={"dense": models.VectorParams(size=2, distance=models.Distance.COSINE)},
        metadata={"phase": "following"},
    )
    yield client
    client.delete_collection(COLLECTION)
    client.close()


class Writer(Thread):
    """Upserts, overwrites and deletes its own keys, guarded, until the endpoint is gone.

    `acknowledged` is what the last answered write left, `attempted` what the one in flight would leave: key to
    version, None for a point that is deleted.
    """

    def __init__(self, url: str, first_version: int, answers: Semaphore) -> None:
        super().__init__()
        self.ids = [str(uuid4()) for _ in range(KEYS_PER_WRITER)]
        self.acknowledged: dict[str, int | None] = {}
        self.attempted: dict[str, int | None] = {}
        self._client = QdrantClient(url=url, check_compatibility=False)
        self._version = first_version
        self._answers = answers

    def run(self) -> None:
        try:
            while True:
                self._write(self.ids, self._upsert_points)
                self._write(self.ids, self._overwrite_payloads)
                self._write(self.ids[:5], self._delete_points, deleted=True)
                self._fail()
        except ResponseHandlingException:
            self._client.close()

    def _write(self, ids: list[str], write: Callable[[list[str]], None], *, deleted: bool = False) -> None:
        self._version += 1
        self.attempted = self.acknowledged | dict.fromkeys(ids, None if deleted else self._version)
        write(ids)
        self.acknowledged = self.attempted
        self._answers.release()

    def _upsert_points(self, ids: list[str]) -> None:
        points = [models.PointStruct(id=i, vector={"dense": [1.0, 2.0]}, payload=self._payload) for i in ids]
        guard = models.Filter(must_not=[models.Filter(must=[self._is(i), self._newer]) for i in ids])
        self._client.upsert(COLLECTION, points, update_filter=guard)

    def _overwrite_payloads(self, ids: list[str]) -> None:
        writes = [models.SetPayload(payload=self._payload, filter=self._guard(i)) for i in ids]
        self._client.batch_update_points(
            COLLECTION, [models.OverwritePayloadOperation(overwrite_payload=write) for write in writes]
        )

    def _delete_points(self, ids: list[str]) -> None:
        guards = models.Filter(should=[self._guard(i) for i in ids])
        self._client.delete(COLLECTION, models.FilterSelector(filter=guards))

    def _fail(self) -> None:
        """A write that the engine refuses only once it is in its log, which a restart then replays."""
        with pytest.raises(UnexpectedResponse):
            self._client.set_payload(COLLECTION, {"version": 0}, points=[str(uuid4())])

    def _guard(self, identity: str) -> models.Filter:
        return models.Filter(must=[self._is(identity)], must_not=[self._newer])

    def _is(self, identity: str) -> models.HasIdCondition:
        return models.HasIdCondition(has_id=[identity])

    @property
    def _payload(self) -> dict[str, int]:
        return {"version": self._version}

    @property
    def _newer(self) -> models.FieldCondition:
        return models.FieldCondition(key="version", range=models.Range(gt=self._version))


def test_acknowledged_writes_survive_sigkill_in_the_middle_of_writes(endpoint: Endpoint, client: QdrantClient) -> None:
    client.create_payload_index(COLLECTION, "version", models.PayloadSchemaType.INTEGER)
    # Twice: the second life begins with a log that was replayed.
    for first_version in (0, 1_000_000):
        answers = Semaphore(0)
        writers = [Writer(endpoint.url, first_version, answers) for _ in range(WRITERS)]
        for writer in writers:
            writer.start()
        for _ in range(ACKNOWLEDGED_BEFORE_KILL):
            assert answers.acquire(timeout=10)
        endpoint.kill()
        for writer in writers:
            writer.join()
        endpoint.start()

        for writer in writers:
            stored = {str(p.id): p.payload["version"] for p in client.retrieve(COLLECTION, writer.ids) if p.payload}
            for identity, version in writer.acknowledged.items():
                assert stored.get(identity) in (version, writer.attempted[identity])
            assert stored


def test_restart_keeps_points_aliases_metadata_and_indexes(endpoint: Endpoint, client: QdrantClient) -> None:
    client.create_payload_index(COLLECTION, "color", models.PayloadSchemaType.KEYWORD)
    client.create_payload_index(COLLECTION, "gone", models.PayloadSchemaType.KEYWORD)
    client.delete_payload_index(COLLECTION, "gone")
    client.update_collection(COLLECTION, metadata={"recipe": {"model": "m"}})
    client.upsert(COLLECTION, [models.PointStruct(id=1, vector={"dense": [1.0, 0.0]}, payload={"color": "Red"})])
    client.update_collection_aliases(
        [
            models.CreateAliasOperation(
                create_alias=models.CreateAlias(alias_name="products", collection_name=COLLECTION)
            )
        ]
    )
    (endpoint.data / "collections" / "half-created").mkdir()

    for end in (endpoint.kill, endpoint.stop):
        began = monotonic()
        assert end() in (-SIGKILL, 0)
        assert monotonic() - began < 2
        endpoint.start()
        info = client.get_collection("products")
        assert info.config.metadata == {"phase": "following", "recipe": {"model": "m"}}
        assert {field: index.points for field, index in info.payload_schema.items()} == {"color": 1}
        assert client.facet("products", "color").hits[0].value == "Red"
        assert client.query_points("products", [1.0, 0.0], using="dense").points[0].id == 1
    assert not (endpoint.data / "collections" / "half-created").exists()


def test_deleted_collection_leaves_no_files(endpoint: Endpoint, client: QdrantClient) -> None:
    client.delete_collection(COLLECTION)
    assert list((endpoint.data / "collections").iterdir()) == []


def test_second_process_on_the_same_data_says_so(endpoint: Endpoint) -> None:
    second = launch(endpoint.data, free_port())
    _, complaint = second.communicate(timeout=10)
    assert second.returncode == 3
    assert complaint == f"Error: {endpoint.data} is in use by another Qdrant endpoint\n"


def test_taken_port_is_said_in_one_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        process = launch(tmp_path, port)
        _, complaint = process.communicate(timeout=10)
    assert process.returncode == 3
    assert complaint.startswith(f"Error: cannot serve {tmp_path} on 127.0.0.1:{port}: ")
    assert complaint.count("\n") == 1


def test_damaged_catalog_is_said_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "catalog.json").write_text('{"collections":')
    process = launch(tmp_path, free_port())
    _, complaint = process.communicate(timeout=10)
    assert process.returncode == 3
    assert complaint.startswith(f"Error: cannot read the catalog {tmp_path / 'catalog.json'}: ")
    assert complaint.count("\n") == 1
