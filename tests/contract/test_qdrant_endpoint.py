"""What a plain `QdrantClient` may rely on, asked of the endpoint or of a real server."""

from collections.abc import Iterator, Sequence
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from qdrant_client import AsyncQdrantClient, QdrantClient, models
from qdrant_client.http.exceptions import UnexpectedResponse

from tests.contract.qdrant_server import REAL_SERVER, qdrant_url

DIMENSIONS = 4
endpoint_only = pytest.mark.skipif(REAL_SERVER, reason="what a real server serves, or does another way")


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with qdrant_url(tmp_path_factory.mktemp("qdrant")) as address:
        yield address


@pytest.fixture(scope="module")
def client(url: str) -> Iterator[QdrantClient]:
    client = QdrantClient(url=url)  # its version check would warn, and a warning is an error here
    yield client
    client.close()


@pytest.fixture
def fresh(client: QdrantClient) -> Iterator[str]:
    """A new collection, shaped as Lockstep's are."""
    name = f"test-{uuid4().hex}"
    create(client, name)
    yield name
    client.delete_collection(name)


@pytest.fixture(scope="module")
def shared(client: QdrantClient) -> Iterator[str]:
    name = f"test-{uuid4().hex}"
    create(client, name)
    yield name
    client.delete_collection(name)


@pytest.fixture
def name(client: QdrantClient, shared: str) -> str:
    """A collection without points: emptied, which is quicker than made anew."""
    client.delete(shared, models.FilterSelector(filter=models.Filter()))
    return shared


def create(client: QdrantClient, name: str, **settings: Any) -> None:
    client.create_collection(
        name,
        vectors_config={"dense": models.VectorParams(size=DIMENSIONS, distance=models.Distance.COSINE)},
        sparse_vectors_config={"bm25": models.SparseVectorParams(modifier=models.Modifier.IDF)},
        **settings,
    )


def key(number: int) -> str:
    return str(UUID(int=number))


def point(
    number: int, *, version: int = 1, dense: Sequence[float] = (1, 0, 0, 0), **payload: Any
) -> models.PointStruct:
    return models.PointStruct(
        id=key(number),
        vector={
            "dense": [float(part) for part in dense],
            "bm25": models.SparseVector(indices=[number, 1000], values=[1.5, 0.5]),
        },
        payload={"number": number, "_lockstep": {"version": version}, **payload},
    )


def newer_than(version: int) -> models.FieldCondition:
    return models.FieldCondition(key="_lockstep.version", range=models.Range(gt=version))


def unless_newer(points: Sequence[models.PointStruct]) -> models.Filter:
    """One clause a point: each is judged by its own version."""
    return models.Filter(
        must_not=[
            models.Filter(must=[models.HasIdCondition(has_id=[p.id]), newer_than(p.payload["_lockstep"]["version"])])
            for p in points
            if p.payload
        ]
    )


def only(number: int, version: int) -> models.Filter:
    return models.Filter(must=[models.HasIdCondition(has_id=[key(number)])], must_not=[newer_than(version)])


def matches(field: str, value: Any) -> models.Filter:
    return models.Filter(must=[models.FieldCondition(key=field, match=models.MatchValue(value=value))])


def payloads(client: QdrantClient, name: str) -> dict[int, dict[str, Any]]:
    points, _ = client.scroll(name, limit=1000)
    return {UUID(str(p.id)).int: p.payload or {} for p in points}


def versions(client: QdrantClient, name: str) -> dict[int, int]:
    return {number: payload["_lockstep"]["version"] for number, payload in payloads(client, name).items()}


def refused(status: int, words: str = "") -> Any:
    """Expect Qdrant's own error shape with this status and these words in its message."""
    return pytest.raises(UnexpectedResponse, match=rf"(?s){status} .*\"error\".*{words}")


class TestCollections:
    def test_collection_can_be_created_found_listed_and_deleted(self, client: QdrantClient) -> None:
        name = f"test-{uuid4().hex}"
        create(client, name)
        assert client.collection_exists(name)
        assert name in [c.name for c in client.get_collections().collections]
        assert client.delete_collection(name)
        assert not client.collection_exists(name)
        assert not client.delete_collection(name)

    def test_info_tells_vectors_points_and_indexes(self, client: QdrantClient, fresh: str) -> None:
        client.upsert(fresh, [point(1), point(2)])
        client.create_payload_index(fresh, "color", models.PayloadSchemaType.KEYWORD)
        client.create_payload_index(
            fresh, "number", models.IntegerIndexParams(type="integer", lookup=False, range=True)
        )
        info = client.get_collection(fresh)
        assert info.status == models.CollectionStatus.GREEN
        assert info.points_count == 2
        assert info.config.params.vectors["dense"].size == DIMENSIONS
        assert info.config.params.sparse_vectors["bm25"].modifier == models.Modifier.IDF
        assert info.payload_schema["color"].data_type == models.PayloadSchemaType.KEYWORD
        assert info.payload_schema["number"].params.lookup is False
        assert info.payload_schema["number"].points == 2
        client.delete_payload_index(fresh, "color")
        assert list(client.get_collection(fresh).payload_schema) == ["number"]

    def test_metadata_makes_the_round_trip_and_is_merged_by_an_update(self, client: QdrantClient) -> None:
        name = f"test-{uuid4().hex}"
        recipe = {"model": "m", "stopwords": ["é", ""], "template": {"null": None, "size": 384}}
        create(client, name, metadata={"recipe": recipe, "phase": "following"})
        assert client.get_collection(name).config.metadata == {"recipe": recipe, "phase": "following"}
        client.update_collection(name, metadata={"phase": None, "covered": 2**50})
        assert client.get_collection(name).config.metadata == {"recipe": recipe, "covered": 2**50}
        client.delete_collection(name)

    def test_existing_collection_is_not_created_again(self, client: QdrantClient, fresh: str) -> None:
        with refused(409, f"Collection `{fresh}` already exists!"):
            create(client, fresh)

    def test_missing_collection_is_named_in_a_404(self, client: QdrantClient) -> None:
        for call in (
            lambda: client.get_collection("missing"),
            lambda: client.upsert("missing", [point(1)]),
            lambda: client.retrieve("missing", [key(1)]),
            lambda: client.count("missing"),
        ):
            with refused(404, "Not found: Collection `missing` doesn.*t exist!"):
                call()

    @endpoint_only
    def test_settings_that_would_be_silently_ignored_are_refused(self, client: QdrantClient) -> None:
        with refused(501, "shard_number"):
            create(client, "sharded", shard_number=2)
        assert not client.collection_exists("sharded")


class TestAliases:
    def test_reads_and_writes_go_through_an_alias(self, client: QdrantClient, fresh: str) -> None:
        alias = f"alias-{uuid4().hex}"
        move(client, alias, fresh)
        client.upsert(alias, [point(1)])
        assert client.count(alias).count == 1
        assert client.get_collection(alias).points_count == 1
        assert client.collection_exists(alias)
        assert [a.alias_name for a in client.get_collection_aliases(fresh).aliases] == [alias]

    def test_one_create_alias_moves_an_existing_alias(self, client: QdrantClient, fresh: str) -> None:
        alias, old = f"alias-{uuid4().hex}", f"test-{uuid4().hex}"
        create(client, old)
        move(client, alias, old)
        move(client, alias, fresh)
        assert {a.alias_name: a.collection_name for a in client.get_aliases().aliases}[alias] == fresh
        client.delete_collection(old)
        assert client.collection_exists(alias)

    def test_alias_is_renamed_and_deleted(self, client: QdrantClient, fresh: str) -> None:
        old, new = f"alias-{uuid4().hex}", f"alias-{uuid4().hex}"
        move(client, old, fresh)
        client.update_collection_aliases(
            [models.RenameAliasOperation(rename_alias=models.RenameAlias(old_alias_name=old, new_alias_name=new))]
        )
        assert [a.alias_name for a in client.get_collection_aliases(fresh).aliases] == [new]
        client.update_collection_aliases([models.DeleteAliasOperation(delete_alias=models.DeleteAlias(alias_name=new))])
        assert client.get_collection_aliases(fresh).aliases == []

    def test_alias_takes_neither_a_collections_name_nor_a_missing_target(
        self, client: QdrantClient, fresh: str
    ) -> None:
        with refused(409, "already exists"):
            move(client, fresh, fresh)
        with refused(404, "Collection `missing` doesn.*t exist!"):
            move(client, "any", "missing")

    def test_aliases_go_with_their_collection(self, client: QdrantClient) -> None:
        alias, name = f"alias-{uuid4().hex}", f"test-{uuid4().hex}"
        create(client, name)
        move(client, alias, name)
        client.delete_collection(name)
        assert not client.collection_exists(alias)
        assert alias not in [a.alias_name for a in client.get_aliases().aliases]

    @endpoint_only
    def test_actions_are_carried_out_all_or_none(self, client: QdrantClient, fresh: str) -> None:
        alias = f"alias-{uuid4().hex}"
        with refused(404):
            client.update_collection_aliases([creation(alias, fresh), creation("other", "missing")])
        assert alias not in [a.alias_name for a in client.get_aliases().aliases]


def creation(alias: str, target: str) -> models.CreateAliasOperation:
    return models.CreateAliasOperation(create_alias=models.CreateAlias(alias_name=alias, collection_name=target))


def move(client: QdrantClient, alias: str, target: str) -> None:
    client.update_collection_aliases([creation(alias, target)])


class TestGuardedWrites:
    def test_upsert_refuses_older_writes_equal_and_inserts_missing(self, client: QdrantClient, name: str) -> None:
        client.upsert(name, [point(1, version=5), point(2, version=5), point(3, version=5)])
        batch = [
            point(1, version=4, color="older"),
            point(2, version=5, color="equal"),
            point(3, version=6, color="newer"),
            point(4, version=1, color="missing"),
        ]
        client.upsert(name, batch, update_filter=unless_newer(batch))
        assert versions(client, name) == {1: 5, 2: 5, 3: 6, 4: 1}
        assert [p.get("color") for _, p in sorted(payloads(client, name).items())] == [
            None,
            "equal",
            "newer",
            "missing",
        ]

    def test_guard_is_exact_just_below_2_to_the_50(self, client: QdrantClient, name: str) -> None:
        top = 2**50 - 1
        client.upsert(name, [point(1, version=top), point(2, version=top - 1)])
        batch = [point(1, version=top - 1, color="older"), point(2, version=top - 1, color="equal")]
        client.upsert(name, batch, update_filter=unless_newer(batch))
        assert versions(client, name) == {1: top, 2: top - 1}
        assert payloads(client, name)[2]["color"] == "equal"

    def test_point_without_a_version_can_be_written(self, client: QdrantClient, name: str) -> None:
        client.upsert(name, [models.PointStruct(id=key(1), vector=point(1).vector, payload={})])
        client.upsert(name, [point(1)], update_filter=unless_newer([point(1)]))
        assert versions(client, name) == {1: 1}

    def test_payload_by_filter_keeps_newer_and_is_silent_about_missing(self, client: QdrantClient, name: str) -> None:
        client.upsert(name, [point(1, version=5), point(2, version=5)])
        client.batch_update_points(
            name,
            [
                models.OverwritePayloadOperation(
                    overwrite_payload=models.SetPayload(
                        payload={"_lockstep": {"version": version}}, filter=only(number, version)
                    )
                )
                for number, version in ((1, 4), (2, 6), (3, 6))
            ],
        )
        assert versions(client, name) == {1: 5, 2: 6}
        assert payloads(client, name)[2] == {"_lockstep": {"version": 6}}
        assert client.retrieve(name, [key(2)], with_vectors=["dense"])[0].vector == {"dense": [1, 0, 0, 0]}

    def test_delete_by_filter_keeps_newer_and_is_silent_about_missing(self, client: QdrantClient, name: str) -> None:
        client.upsert(name, [point(1, version=5), point(2, version=5), point(9)])
        selector = models.FilterSelector(filter=models.Filter(should=[only(1, 4), only(2, 5), only(3, 7)]))
        client.delete(name, selector)
        assert versions(client, name) == {1: 5, 9: 1}

    @pytest.mark.parametrize(("mode", "present"), [("insert_only", {1: 1, 2: 9}), ("update_only", {1: 9})])
    def test_update_mode_inserts_only_or_updates_only(
        self, client: QdrantClient, name: str, mode: str, present: dict[int, int]
    ) -> None:
        client.upsert(name, [point(1)])
        client.upsert(name, [point(1, version=9), point(2, version=9)], update_mode=models.UpdateMode(mode))
        assert versions(client, name) == present


class TestWrites:
    def test_columns_are_upserted_like_points(self, client: QdrantClient, name: str) -> None:
        columns = models.Batch(
            ids=[key(1), 7],
            vectors={
                "dense": [[0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]],
                "bm25": [models.SparseVector(indices=[n], values=[1.0]) for n in (1, 2)],
            },
            payloads=[{"color": "Red"}, {"color": "Blue"}],
        )
        client.upsert(name, columns)
        found = {p.id: p for p in client.retrieve(name, [key(1), 7, 8], with_vectors=True)}
        assert found[7].payload == {"color": "Blue"}
        assert found[7].vector["dense"] == [0, 0, 1, 0]
        assert found[key(1)].vector["bm25"] == models.SparseVector(indices=[1], values=[1])
        assert len(found) == 2

    def test_last_of_several_points_of_one_id_wins(self, client: QdrantClient, name: str) -> None:
        client.upsert(name, [point(1, version=1), point(1, version=2)])
        assert versions(client, name) == {1: 2}

    def test_payload_survives_as_it_was(self, client: QdrantClient, name: str) -> None:
        payload = {"text": "naïve 👕 \u0000", "none": None, "list": [1, {"x": 1.5}], "big": 2**53 + 1, "price": 9.99}
        client.upsert(name, [point(1, **payload)])
        assert payload.items() <= payloads(client, name)[1].items()

    def test_payload_is_set_overwritten_and_removed_by_id_and_by_filter(self, client: QdrantClient, name: str) -> None:
        client.upsert(name, [point(1), point(2)])
        second = matches("number", 2)
        client.set_payload(name, {"color": "Red"}, points=[key(1)])
        client.set_payload(name, {"color": "Blue"}, points=second)
        assert [p["color"] for _, p in sorted(payloads(client, name).items())] == ["Red", "Blue"]
        client.delete_payload(name, ["color"], points=second)
        client.delete_payload(name, ["_lockstep", "color"], points=[key(1)])
        assert payloads(client, name) == {1: {"number": 1}, 2: {"number": 2, "_lockstep": {"version": 1}}}
        client.overwrite_payload(name, {"only": True}, points=[key(1)])
        client.clear_payload(name, points_selector=second)
        assert payloads(client, name) == {1: {"only": True}, 2: {}}

    def test_payload_by_id_of_a_missing_point_is_a_404(self, client: QdrantClient, name: str) -> None:
        with refused(404, "No point with id"):
            client.set_payload(name, {"color": "Red"}, points=[key(404)])

    def test_vectors_are_updated_and_deleted(self, client: QdrantClient, name: str) -> None:
        client.upsert(name, [point(1)])
        client.update_vectors(name, [models.PointVectors(id=key(1), vector={"dense": [0.0, 0.0, 0.0, 1.0]})])
        client.delete_vectors(name, ["bm25"], points=[key(1)])
        assert client.retrieve(name, [key(1)], with_vectors=True)[0].vector == {"dense": [0, 0, 0, 1]}

    def test_deleting_what_is_missing_is_no_error(self, client: QdrantClient, name: str) -> None:
        client.upsert(name, [point(1), point(2)])
        client.delete(name, [key(1), key(404)])
        assert list(payloads(client, name)) == [2]

    def test_batch_runs_its_operations_in_order(self, client: QdrantClient, name: str) -> None:
        answers = client.batch_update_points(
            name,
            [
                models.UpsertOperation(upsert=models.PointsList(points=[point(1), point(2)])),
                models.SetPayloadOperation(set_payload=models.SetPayload(payload={"a": 1}, points=[key(1)])),
                models.DeleteOperation(delete=models.PointIdsList(points=[key(2)])),
                models.ClearPayloadOperation(clear_payload=models.FilterSelector(filter=matches("a", 1))),
                models.OverwritePayloadOperation(
                    overwrite_payload=models.SetPayload(payload={"b": 1, "c": 1}, points=[key(1)])
                ),
                models.DeletePayloadOperation(delete_payload=models.DeletePayload(keys=["c"], points=[key(1)])),
                models.DeleteVectorsOperation(
                    delete_vectors=models.DeleteVectors(points=[key(1)], vector=["bm25", "dense"])
                ),
                models.UpdateVectorsOperation(
                    update_vectors=models.UpdateVectors(
                        points=[models.PointVectors(id=key(1), vector={"dense": [0.0, 1.0, 0.0, 0.0]})]
                    )
                ),
            ],
        )
        assert [answer.status for answer in answers] == ["completed"] * 8
        assert payloads(client, name) == {1: {"b": 1}}
        assert client.retrieve(name, [key(1)], with_vectors=True)[0].vector == {"dense": [0, 1, 0, 0]}


class TestRefusals:
    def test_wrong_dimension_refuses_the_whole_upsert(self, client: QdrantClient, name: str) -> None:
        with refused(400, "expected dim: 4, got 3"):
            client.upsert(name, [point(1), point(2, dense=[1, 2, 3]), point(3)])
        assert client.count(name).count == 0

    def test_unknown_vector_refuses_the_whole_upsert(self, client: QdrantClient, name: str) -> None:
        stranger = models.PointStruct(id=key(2), vector={"other": [1.0]}, payload={})
        with refused(400, "Not existing vector name error: other"):
            client.upsert(name, [point(1), stranger])
        assert client.count(name).count == 0

    @pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"1e999", b"1e39", b"null", b'"1"'])
    def test_what_is_no_number_refuses_the_whole_upsert(
        self, url: str, client: QdrantClient, name: str, number: bytes
    ) -> None:
        good, bad = (
            b'{"id": 1, "vector": {"dense": [1,0,0,0]}}',
            b'{"id": 2, "vector": {"dense": [1,0,0,' + number + b"]}}",
        )
        answer = httpx.put(
            f"{url}/collections/{name}/points?wait=true",
            content=b'{"points": [' + good + b"," + bad + b"]}",
            headers={"content-type": "application/json"},
        )
        assert answer.status_code == 400
        assert answer.json()["status"]["error"]
        assert client.count(name).count == 0

    @pytest.mark.parametrize(
        "body",
        [b"", b"{", b"[]", b'{"points": [{"id": "no-uuid", "vector": {}}]}', b'{"points": [{"id": -1, "vector": {}}]}'],
    )
    def test_malformed_body_is_a_400(self, url: str, name: str, body: bytes) -> None:
        answer = httpx.put(
            f"{url}/collections/{name}/points", content=body, headers={"content-type": "application/json"}
        )
        assert answer.status_code == 400
        assert answer.json()["status"]["error"]

    def test_body_over_32_mebibytes_is_a_400(self, client: QdrantClient, name: str) -> None:
        with refused(400, "larger than allowed"):
            client.upsert(name, [point(1, text="x" * (32 * 1024 * 1024))])

    @endpoint_only
    def test_uneven_sparse_vector_is_refused(self, client: QdrantClient, name: str) -> None:
        for vector in (
            models.SparseVector(indices=[1, 2], values=[1.0]),
            models.SparseVector(indices=[1, 1], values=[1.0, 1.0]),
        ):
            with refused(400, "sparse vector"):
                client.upsert(name, [models.PointStruct(id=1, vector={"bm25": vector}, payload={})])
        assert client.count(name).count == 0

    @endpoint_only
    def test_batch_with_one_impossible_operation_applies_none(self, client: QdrantClient, name: str) -> None:
        with refused(400):
            client.batch_update_points(
                name,
                [
                    models.UpsertOperation(upsert=models.PointsList(points=[point(1)])),
                    models.UpsertOperation(upsert=models.PointsList(points=[point(2, dense=[1])])),
                ],
            )
        assert client.count(name).count == 0

    @endpoint_only
    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("GET", "/telemetry"),
            ("POST", "/collections/any/snapshots"),
            ("POST", "/collections/any/points/query/groups"),
        ],
    )
    def test_unknown_call_answers_501_and_names_itself(self, url: str, method: str, path: str) -> None:
        answer = httpx.request(method, f"{url}{path}")
        assert answer.status_code == 501
        assert f"{method} {path} is not served" in answer.json()["status"]["error"]

    @endpoint_only
    def test_unknown_form_of_a_known_call_answers_501(self, client: QdrantClient, name: str) -> None:
        with refused(501, "RecommendQuery"):
            client.query_points(name, models.RecommendQuery(recommend=models.RecommendInput(positive=[key(1)])))
        with refused(501, "inference"):
            client.http.points_api.upsert_points(
                name,
                point_insert_operations=models.PointsList(
                    points=[models.PointStruct(id=1, vector={"bm25": models.Document(text="x", model="m")})]
                ),
            )


COLORS = ("Red", "Blue", "Blue", "Green")
AXES = ((1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0.6, 0.8, 0, 0))


@pytest.fixture(scope="module")
def shop(client: QdrantClient) -> Iterator[str]:
    """Twelve points: four colours and directions, three times over."""
    name = f"test-{uuid4().hex}"
    create(client, name)
    client.create_payload_index(name, "color", models.PayloadSchemaType.KEYWORD)
    client.create_payload_index(name, "number", models.PayloadSchemaType.INTEGER)
    client.upsert(
        name,
        [
            point(n, dense=AXES[n % 4], color=COLORS[n % 4], price=n * 10.0, made=f"2026-01-{n:02}T00:00:00Z")
            for n in range(1, 13)
        ],
    )
    yield name
    client.delete_collection(name)


def numbers(points: Sequence[models.ScoredPoint | models.Record]) -> list[int]:
    return [UUID(str(p.id)).int for p in points]


class TestReads:
    def test_retrieve_gives_what_exists_and_what_was_asked_for(self, client: QdrantClient, shop: str) -> None:
        assert sorted(numbers(client.retrieve(shop, [key(1), key(2), key(99)]))) == [1, 2]
        assert client.retrieve(shop, [key(1)], with_payload=["color"])[0].payload == {"color": "Blue"}
        assert client.retrieve(shop, [key(1)], with_payload=False)[0].payload is None
        without = models.PayloadSelectorExclude(exclude=["_lockstep", "made", "price"])
        assert client.retrieve(shop, [key(1)], with_payload=without)[0].payload == {"number": 1, "color": "Blue"}

    def test_one_point_is_read_by_its_path(self, url: str, shop: str) -> None:
        found = httpx.get(f"{url}/collections/{shop}/points/{key(3)}").json()["result"]
        assert found["payload"]["number"] == 3
        assert found["vector"]["dense"] == pytest.approx(AXES[3])
        assert httpx.get(f"{url}/collections/{shop}/points/99").status_code == 404

    def test_scroll_pages_through_every_point_once(self, client: QdrantClient, shop: str) -> None:
        seen: list[int] = []
        offset: Any = None
        while not seen or offset is not None:
            page, offset = client.scroll(shop, limit=5, offset=offset)
            seen += numbers(page)
        assert seen == list(range(1, 13))

    def test_scroll_follows_a_payload_key(self, client: QdrantClient, shop: str) -> None:
        newest = models.OrderBy(key="number", direction=models.Direction.DESC, start_from=10)
        page, offset = client.scroll(shop, limit=3, order_by=newest)
        assert numbers(page) == [10, 9, 8]
        assert offset is None

    @pytest.mark.parametrize(
        ("condition", "count"),
        [
            (models.FieldCondition(key="color", match=models.MatchAny(any=["Red", "Green"])), 6),
            (models.FieldCondition(key="color", match=models.MatchExcept(**{"except": ["Blue"]})), 6),
            (models.FieldCondition(key="price", range=models.Range(gte=20, lt=50)), 3),
            (models.FieldCondition(key="made", range=models.DatetimeRange(gt="2026-01-10T00:00:00Z")), 2),
            (models.FieldCondition(key="color", values_count=models.ValuesCount(gte=1)), 12),
            (models.FieldCondition(key="color", match=models.MatchText(text="Red")), 3),
            (models.IsEmptyCondition(is_empty=models.PayloadField(key="color")), 0),
            (models.IsNullCondition(is_null=models.PayloadField(key="color")), 0),
            (models.HasVectorCondition(has_vector="dense"), 12),
            (models.HasIdCondition(has_id=[key(1), key(99)]), 1),
            (models.Filter(should=[matches("number", 1), matches("number", 2)], must=[matches("color", "Blue")]), 2),
            (
                models.Filter(
                    min_should=models.MinShould(
                        conditions=[matches("color", "Red"), matches("number", 4), matches("number", 5)], min_count=2
                    )
                ),
                1,
            ),
        ],
        ids=str,
    )
    def test_filters_count_what_they_say(
        self, client: QdrantClient, shop: str, condition: models.Condition, count: int
    ) -> None:
        assert client.count(shop, models.Filter(must=[condition])).count == count

    def test_facet_counts_each_value(self, client: QdrantClient, shop: str) -> None:
        hits = client.facet(shop, "color", exact=True).hits
        assert (hits[0].value, hits[0].count) == ("Blue", 6)
        assert {hit.value: hit.count for hit in hits} == {"Blue": 6, "Red": 3, "Green": 3}
        cheap = models.Filter(must=[models.FieldCondition(key="price", range=models.Range(lt=35))])
        hits = client.facet(shop, "color", facet_filter=cheap, exact=True).hits
        assert {hit.value: hit.count for hit in hits} == {"Blue": 2, "Green": 1}

    def test_facet_without_an_index_is_a_400(self, client: QdrantClient, shop: str) -> None:
        with refused(400, "No appropriate index for faceting"):
            client.facet(shop, "price")


class TestQueries:
    def test_dense_query_ranks_by_similarity(self, client: QdrantClient, shop: str) -> None:
        found = client.query_points(shop, [0.0, 1.0, 0.0, 0.0], using="dense", limit=6, score_threshold=0.5).points
        assert sorted(numbers(found[:3])) == [1, 5, 9]
        assert sorted(numbers(found[3:])) == [3, 7, 11]
        assert found[3].score == pytest.approx(0.8)

    def test_filter_of_a_query_comes_before_its_limit(self, client: QdrantClient, shop: str) -> None:
        green = matches("color", "Green")
        found = client.query_points(shop, [0.0, 1.0, 0.0, 0.0], using="dense", query_filter=green, limit=3).points
        assert sorted(numbers(found)) == [3, 7, 11]

    def test_sparse_query_prefers_the_rarer_word(self, client: QdrantClient, shop: str) -> None:
        words = models.SparseVector(indices=[7, 1000], values=[1.0, 1.0])
        assert numbers(client.query_points(shop, words, using="bm25", limit=1).points) == [7]

    @pytest.mark.parametrize("fusion", list(models.Fusion))
    def test_hybrid_query_with_filters_finds_what_it_should(
        self, client: QdrantClient, shop: str, fusion: models.Fusion
    ) -> None:
        red = matches("color", "Red")
        found = client.query_points(
            shop,
            prefetch=[
                models.Prefetch(query=[0.0, 1.0, 0.0, 0.0], using="dense", filter=red, limit=3),
                models.Prefetch(
                    query=models.SparseVector(indices=[8], values=[1.0]), using="bm25", filter=red, limit=3
                ),
            ],
            query=models.FusionQuery(fusion=fusion),
            with_payload=["color"],
            limit=5,
        ).points
        assert sorted(numbers(found)) == [4, 8, 12]
        assert found[0].score > found[1].score
        assert numbers(found)[0] == 8
        assert found[0].payload == {"color": "Red"}

    def test_weighted_fusion_follows_the_heavier_half(self, client: QdrantClient, shop: str) -> None:
        halves = [
            models.Prefetch(query=models.SparseVector(indices=[n], values=[1.0]), using="bm25", limit=1) for n in (2, 3)
        ]
        for weights, first in (([3.0, 1.0], 2), ([1.0, 3.0], 3)):
            query = models.RrfQuery(rrf=models.Rrf(k=60, weights=weights))
            assert numbers(client.query_points(shop, prefetch=halves, query=query).points)[0] == first

    def test_offset_skips_the_first_hits(self, client: QdrantClient, shop: str) -> None:
        every = client.query_points(shop, query=models.OrderByQuery(order_by="number"), limit=4).points
        assert numbers(every) == [1, 2, 3, 4]
        later = client.query_points(shop, query=models.OrderByQuery(order_by="number"), limit=2, offset=2).points
        assert numbers(later) == [3, 4]

    def test_query_by_point_leaves_that_point_out(self, client: QdrantClient, shop: str) -> None:
        found = client.query_points(shop, key(1), using="dense", limit=2, with_vectors=["dense"]).points
        assert sorted(numbers(found)) == [5, 9]
        assert found[0].vector == {"dense": [0, 1, 0, 0]}

    def test_batch_answers_each_query_in_its_place(self, client: QdrantClient, shop: str) -> None:
        answers = client.query_batch_points(
            shop,
            [
                models.QueryRequest(query=models.NearestQuery(nearest=[0.0, 0.0, 1.0, 0.0]), using="dense", limit=3),
                models.QueryRequest(filter=matches("number", 4)),
                models.QueryRequest(query=models.SampleQuery(sample=models.Sample.RANDOM), limit=12),
            ],
        )
        assert [sorted(numbers(answer.points)) for answer in answers] == [[2, 6, 10], [4], list(range(1, 13))]

    def test_query_of_a_wrong_dimension_is_a_400(self, client: QdrantClient, shop: str) -> None:
        with refused(400, "expected dim: 4, got 2"):
            client.query_points(shop, [1.0, 2.0], using="dense")

    async def test_asynchronous_client_works_as_well(self, url: str, shop: str) -> None:
        client = AsyncQdrantClient(url=url)
        found = await client.query_points(shop, [0.0, 1.0, 0.0, 0.0], using="dense", limit=3)
        await client.close()
        assert sorted(numbers(found.points)) == [1, 5, 9]


@pytest.mark.parametrize("path", ["/healthz", "/livez", "/readyz"])
def test_health_answers(url: str, path: str) -> None:
    assert httpx.get(f"{url}{path}").status_code == 200
