"""What the indexer relies on: the same tests for the fake, the endpoint, and a real server when one is named."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest

from connectors.qdrant import QdrantStore, open_client
from connectors.qdrant_audit import QdrantAudit, SeenPoint
from schemas.collection import Coverage, LiveCollection, Phase, collection_name
from schemas.document import PROVENANCE, Deletion, Document, Provenance, StoredPoint, Vectors, point_id
from schemas.errors import ErrorKind, VectorStoreError
from schemas.product import Product, row_hash
from schemas.recipe import Recipe
from schemas.search import Filters, SearchMode, SearchQuery
from streams.ports import VectorStore
from tests.contract.qdrant_server import qdrant_url
from tests.fakes.vector_store import InMemoryVectorStore

RECIPE = Recipe(dimensions=4)


def document(key: str = "A1", version: int = 10, name: str = "Strap top", price: str = "19.99") -> Document:
    row = Product(id=1, article_id=key, name=name, color="Black", price=Decimal(price))
    return Document(
        row=row,
        vectors=Vectors(dense=[1.0, 0.0, 0.0, float(len(name))], sparse_indices=[len(name)], sparse_values=[1.0]),
        provenance=Provenance(
            version=version,
            lsn=7,
            operation="u",
            source_time="2026-11-20T10:00:00.000000Z",
            recipe=RECIPE.recipe_id,
            embedding_fingerprint=RECIPE.fingerprint(RECIPE.render(row)),
            row_hash=row_hash(row.to_bytes()),
            indexed_at="2026-11-20T10:00:01.000000Z",
            source=f"t[0]@{version}",
        ),
    )


def stored(document: Document) -> StoredPoint:
    p = document.provenance
    return StoredPoint(
        version=p.version, recipe=p.recipe, embedding_fingerprint=p.embedding_fingerprint, row_hash=p.row_hash
    )


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with qdrant_url(tmp_path_factory.mktemp("qdrant")) as address:
        yield address


@pytest.fixture
async def real(url: str) -> AsyncIterator[QdrantStore]:
    alias = f"test-{uuid4().hex[:8]}"
    async with open_client(url, api_key=None, timeout_seconds=10) as client:
        store = QdrantStore(client, alias=alias)
        await store.create_collection(f"{alias}-1", RECIPE)
        await store.point_alias(f"{alias}-1")
        yield store
        await client.delete_collection(f"{alias}-1")


@pytest.fixture(params=["fake", "real"])
def store(request: pytest.FixtureRequest) -> VectorStore:
    if request.param == "fake":
        return InMemoryVectorStore()
    found: QdrantStore = request.getfixturevalue("real")
    return found


async def points(store: VectorStore, *keys: str) -> dict[str, StoredPoint]:
    return dict(await store.stored_points((await store.live_collection()).name, keys or ["A1"]))


async def upsert(store: VectorStore, *documents: Document) -> None:
    await store.upsert((await store.live_collection()).name, documents)


async def overwrite(store: VectorStore, *documents: Document) -> None:
    await store.overwrite_payloads((await store.live_collection()).name, documents)


async def delete(store: VectorStore, *deletions: Deletion) -> None:
    await store.delete((await store.live_collection()).name, deletions)


async def test_missing_point_is_inserted(store: VectorStore) -> None:
    await upsert(store, document())
    assert await points(store, "A1", "A2") == {"A1": stored(document())}


@pytest.mark.parametrize(("version", "wins"), [(9, False), (10, True), (11, True)], ids=["older", "equal", "newer"])
async def test_older_upsert_does_not_overwrite_a_newer_point(store: VectorStore, version: int, wins: bool) -> None:
    await upsert(store, document(version=10))
    other = document(version=version, name="Tank top")
    await upsert(store, other)
    assert await points(store) == {"A1": stored(other if wins else document(version=10))}


async def test_each_write_names_its_ordering(real: QdrantStore, monkeypatch: pytest.MonkeyPatch) -> None:
    name = (await real.live_collection()).name
    store = QdrantStore(real._client, alias=real._alias, write_ordering="medium")
    request = real._client.http.client.request
    writes: list[tuple[str, object]] = []

    async def note(*args: Any, **arguments: Any) -> Any:
        if (arguments.get("params") or {}).get("wait") == "true":
            writes.append((arguments["url"].rpartition("}")[2], arguments["params"].get("ordering")))
        return await request(*args, **arguments)

    monkeypatch.setattr(real._client.http.client, "request", note)
    await store.insert(name, [document()])
    await store.upsert(name, [document(version=11)])
    await store.overwrite_payloads(name, [document(version=12)])
    await store.delete(name, [Deletion(key="A1", version=13)])
    await store.probe(name)
    audit = QdrantAudit.of(store)
    await audit.disown(name, {"A1": 13})
    await audit.remove(name, [SeenPoint(id=point_id("A1"), key="A1", version=13)])
    paths = ["/points", "/points", "/points/batch", "/points/delete", "/points", "/points/delete"]
    paths += ["/points/payload", "/points/delete"]
    assert writes == [(path, "medium") for path in paths]


async def test_version_that_is_no_number_is_none(real: QdrantStore) -> None:
    live = await real.live_collection()
    await upsert(real, document("A1", 10))
    await real._client.set_payload(
        live.name, payload={"version": "10"}, key=PROVENANCE, points=[point_id("A1")], wait=True
    )
    assert (await points(real, "A1"))["A1"].version is None


async def test_insert_leaves_a_point_that_is_there(real: QdrantStore) -> None:
    live = await real.live_collection()
    await upsert(real, document("A1", 10))
    await real.insert(live.name, [document("A1", 11, "new"), document("A2", 9, "new")])
    await real.insert(live.name, [document("A2", 12, "newer")])
    assert await points(real, "A1", "A2") == {
        "A1": stored(document("A1", 10)),
        "A2": stored(document("A2", 9, "new")),
    }


async def test_each_point_of_a_batch_is_judged_by_its_own_version(store: VectorStore) -> None:
    await upsert(store, document("A1", 10), document("A2", 10), document("A3", 10))
    changed = [document("A1", 9, "new"), document("A2", 11, "new"), document("A3", 10, "new"), document("A4", 1, "new")]
    await upsert(store, *changed)
    assert await points(store, "A1", "A2", "A3", "A4") == {
        "A1": stored(document("A1", 10)),
        "A2": stored(changed[1]),
        "A3": stored(changed[2]),
        "A4": stored(changed[3]),
    }


async def test_a_batch_above_the_size_of_a_request_is_written_whole(real: QdrantStore) -> None:
    large = [document(f"A{n}", name="x" * 2_000_000) for n in range(20)]
    await upsert(real, *large)
    keys = [d.key for d in large]
    assert await points(real, *keys) == {d.key: stored(d) for d in large}
    newer = [replace(d, provenance=replace(d.provenance, version=11)) for d in large]
    await overwrite(real, *newer)
    assert await points(real, *keys) == {d.key: stored(d) for d in newer}


async def test_largest_versions_are_told_apart(store: VectorStore) -> None:
    last = (1 << 50) - 1
    await upsert(store, document(version=last))
    await upsert(store, document(version=last - 1, name="older"))
    assert await points(store) == {"A1": stored(document(version=last))}
    await upsert(store, document(version=last, name="equal"))
    assert await points(store) == {"A1": stored(document(version=last, name="equal"))}


async def test_payload_is_replaced_and_the_vector_stays(store: VectorStore) -> None:
    await upsert(store, document(version=10))
    cheaper = document(version=11, price="9.99")
    await overwrite(store, cheaper)
    assert await points(store) == {"A1": stored(cheaper)}


@pytest.mark.parametrize(
    "late",
    [
        pytest.param(document(version=9, price="9.99"), id="older"),
        pytest.param(document(version=11, name="another text"), id="vector of another text"),
        pytest.param(document("A2", version=11), id="missing"),
    ],
)
async def test_payload_that_does_not_belong_is_left_out_silently(store: VectorStore, late: Document) -> None:
    await upsert(store, document(version=10))
    await overwrite(store, late)
    assert await points(store, "A1", "A2") == {"A1": stored(document(version=10))}


@pytest.mark.parametrize(("version", "gone"), [(9, False), (10, True), (11, True)], ids=["older", "equal", "newer"])
async def test_older_delete_does_not_remove_a_newer_point(store: VectorStore, version: int, gone: bool) -> None:
    await upsert(store, document("A1", 10), document("A2", 10))
    await delete(store, Deletion(key="A1", version=version))
    assert ("A1" not in await points(store, "A1", "A2")) is gone
    assert "A2" in await points(store, "A2")


async def test_removing_what_is_missing_is_no_error(store: VectorStore) -> None:
    await delete(store, Deletion(key="A1", version=10))
    assert await points(store) == {}


async def test_an_older_upsert_after_a_delete_comes_back() -> None:
    """Why the table remembers deletes: the condition protects what exists only."""
    store = InMemoryVectorStore()
    await upsert(store, document(version=10))
    await delete(store, Deletion(key="A1", version=11))
    await upsert(store, document(version=10))
    assert await points(store) == {"A1": stored(document(version=10))}


async def test_probe_leaves_nothing_behind(real: QdrantStore) -> None:
    live = await real.live_collection()
    await real.probe(live.name)
    assert await real.count(live.name) == 0


async def test_recipe_comes_back_from_the_collection(real: QdrantStore) -> None:
    assert (await real.live_collection()).recipe == RECIPE


async def test_missing_alias_is_an_outage_with_the_command_that_mends_it(url: str) -> None:
    async with open_client(url, api_key=None, timeout_seconds=10) as client:
        with pytest.raises(VectorStoreError, match="alias nowhere does not exist") as caught:
            await QdrantStore(client, alias="nowhere").live_collection()
    assert caught.value.kind is ErrorKind.OUTAGE
    assert caught.value.hint == "lockstep collections create"


async def test_dropped_collection_is_an_outage(real: QdrantStore) -> None:
    with pytest.raises(VectorStoreError) as caught:
        await real.upsert("gone", [document()])
    assert caught.value.kind is ErrorKind.OUTAGE


async def test_wrong_dimension_is_permanent_and_nothing_is_applied(real: QdrantStore) -> None:
    live = await real.live_collection()
    good = document("A1")
    assert good.vectors is not None
    bad = replace(document("A2"), vectors=replace(good.vectors, dense=[1.0]))
    with pytest.raises(VectorStoreError) as caught:
        await real.upsert(live.name, [good, bad])
    assert caught.value.kind is ErrorKind.PERMANENT
    assert await points(real, "A1", "A2") == {}


async def test_unreachable_qdrant_is_transient() -> None:
    async with open_client("http://127.0.0.1:9", api_key=None, timeout_seconds=1) as client:
        with pytest.raises(VectorStoreError) as caught:
            await QdrantStore(client, alias="products").live_collection()
    assert caught.value.kind is ErrorKind.TRANSIENT


async def test_search_fuses_both_halves_and_filters(real: QdrantStore) -> None:
    live = await real.live_collection()
    await real.upsert(live.name, [document("A1", name="one"), document("A2", name="three", price="50")])
    vectors = Vectors(dense=[1.0, 0.0, 0.0, 3.0], sparse_indices=[5], sparse_values=[1.0])

    async def found(mode: SearchMode, **filters: object) -> list[str]:
        query = SearchQuery(text="x", mode=mode, filters=Filters.model_validate(filters))
        return [hit.article_id for hit in await real.search(live.name, query, vectors)]

    assert await found(SearchMode.SEMANTIC) == ["A1", "A2"]
    assert await found(SearchMode.KEYWORD) == ["A2"]
    assert sorted(await found(SearchMode.HYBRID)) == ["A1", "A2"]
    assert await found(SearchMode.HYBRID, price_max=20) == ["A1"]
    assert await found(SearchMode.HYBRID, color="White") == []


async def test_search_goes_on_after_its_offset(real: QdrantStore) -> None:
    live = await real.live_collection()
    await real.upsert(live.name, [document(f"A{n}", name="x" * (n + 1)) for n in range(6)])
    vectors = Vectors(dense=[1.0, 0.0, 0.0, 1.0], sparse_indices=[3], sparse_values=[1.0])
    whole = await real.search(live.name, SearchQuery(text="x", mode=SearchMode.SEMANTIC), vectors)
    rest = await real.search(live.name, SearchQuery(text="x", mode=SearchMode.SEMANTIC, offset=2), vectors)
    assert [hit.article_id for hit in rest] == [hit.article_id for hit in whole[2:]]


async def test_vectors_are_read_back_as_they_were_written(real: QdrantStore) -> None:
    wordless = replace(document("A2"), vectors=Vectors(dense=[0.0, 1.0, 0.0, 0.0], sparse_indices=[], sparse_values=[]))
    await upsert(real, document("A1"), wordless)
    live = await real.live_collection()
    found = await real.vectors(live.name, ["A1", "A2", "A3"])
    assert found.keys() == {"A1", "A2"}
    fingerprint, vectors = found["A1"]
    assert fingerprint == document("A1").provenance.embedding_fingerprint
    assert vectors.dense == pytest.approx([0.1104315, 0, 0, 0.9938837], abs=1e-6)  # of length 1: cosine
    assert (vectors.sparse_indices, vectors.sparse_values) == ([9], [1.0])
    assert found["A2"][1] == wordless.vectors


async def test_collections_say_how_they_are_filled(real: QdrantStore) -> None:
    live = await real.live_collection()
    at = datetime(2026, 11, 20, 10, tzinfo=UTC)
    alias = live.name.removesuffix("-1")
    name, foreign = collection_name(alias, RECIPE, at), collection_name(f"{alias}-eu", RECIPE, at)
    await real.create_collection(name, RECIPE, Coverage(phase=Phase.FILLING, at=at))
    await real.create_collection(foreign, RECIPE)  # of another alias, which begins with ours
    try:
        await real.collections.set_coverage(name, Coverage(phase=Phase.FOLLOWING, at=at, covered={0: 7}))
        first, second = await real.collections.all()
        assert (first.name, first.live, first.phase, first.recipe) == (live.name, True, None, RECIPE)
        assert (second.name, second.live, second.points, second.recipe) == (name, False, 0, RECIPE)
        assert second.coverage == Coverage(phase=Phase.FOLLOWING, at=at, covered={0: 7})
        assert await real.pinned(LiveCollection(name=name, recipe=RECIPE)).live_collection() == LiveCollection(
            name=name, recipe=RECIPE
        )
    finally:
        await real.collections.drop(name)
        await real.collections.drop(foreign)
    assert [state.name for state in await real.collections.all()] == [live.name]
    await real.collections.drop(name)
