"""The catalogue's routes over a catalogue in memory: what is taken, what is refused, and how it is answered."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from io import BytesIO
from typing import Any
from urllib.parse import quote

import pytest
from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient
from yarl import URL

from ops.api.catalogue_routes import MERGE_PATCH_JSON, operations
from ops.api.page_token import page_token
from schemas.errors import ErrorKind, SourceError
from tests.fakes.api import served
from tests.fakes.catalogue import InMemoryCatalogue

SHIRT = {"article_id": "0108775015", "name": "Shirt", "color": "Black", "price": "19.90"}
JSON = {"Content-Type": "application/json"}
HOSTILE = [
    "'; DROP TABLE products; --",
    "a/b",
    "a%2Fb",
    ".",
    "..",
    "../../etc/passwd",
    "a?b#c",
    "a b",
    "été 👗",
    "$1",
    '"quoted"',
    "\\",
    "%",
    "a{b}c",
    "{article_id}",
    "x" * 255,
    "👗" * 255,
]


@pytest.fixture
def catalogue() -> InMemoryCatalogue:
    return InMemoryCatalogue()


@pytest.fixture
async def client(catalogue: InMemoryCatalogue) -> AsyncIterator[TestClient]:
    async with served(*operations(catalogue)) as client:
        yield client


def one(article_id: str) -> URL:
    return URL(f"/products/{quote(article_id, safe='').replace('.', '%2E')}", encoded=True)


async def patch(client: TestClient, article_id: str, body: Any, **headers: str) -> ClientResponse:
    sent = {"Content-Type": MERGE_PATCH_JSON} | {name.replace("_", "-"): value for name, value in headers.items()}
    return await client.patch(one(article_id), data=json.dumps(body), headers=sent)


async def problem(response: ClientResponse, status: int, slug: str) -> dict[str, Any]:
    body = await response.json(content_type="application/problem+json")
    assert (response.status, body["type"].rpartition("#")[2]) == (status, slug), body
    return body


async def test_created_product_is_answered_with_its_address_and_version(client: TestClient) -> None:
    response = await client.post("/products", json=SHIRT)
    assert response.status == 201
    body = await response.json()
    assert response.headers["Location"] == "/products/0108775015"
    assert response.headers["ETag"] == f'"{body["updated_at"]}"'
    assert {name: body[name] for name in SHIRT} == SHIRT
    assert body["description"] is None
    again = await client.get(response.headers["Location"])
    assert (again.status, again.headers["ETag"], await again.json()) == (200, response.headers["ETag"], body)


async def test_second_product_of_a_key_is_a_duplicate_and_changes_nothing(
    client: TestClient, catalogue: InMemoryCatalogue
) -> None:
    await client.post("/products", json=SHIRT)
    before = dict(catalogue.rows)
    await problem(await client.post("/products", json=SHIRT | {"name": "Other"}), 409, "duplicate")
    assert catalogue.rows == before


async def test_any_key_is_reached_at_the_address_it_was_given(client: TestClient, catalogue: InMemoryCatalogue) -> None:
    for key in HOSTILE:
        created = await client.post("/products", json=SHIRT | {"article_id": key})
        assert created.status == 201
        assert (await client.get(one(key))).status == 200
        assert (await client.put(one(key), json={"name": "Put"})).status == 200
        assert (await patch(client, key, {"color": "Red"})).status == 200
        assert [(row.article_id, row.name, row.color) for row in catalogue.rows.values()] == [(key, "Put", "Red")]
        assert (await client.delete(one(key))).status == 204
        assert not catalogue.rows


async def test_key_that_cannot_be_one_is_refused(client: TestClient) -> None:
    not_text = {"%FF": 400, "%ED%A0%80": 400}
    out_of_bounds = dict.fromkeys(("a%00b", "a%0Ab", "%1B%5B2J", "%C2%9B2J", "x" * 256), 422)
    for path, status in (not_text | out_of_bounds).items():
        for method in ("GET", "PUT", "PATCH", "DELETE"):
            response = await client.request(method, URL(f"/products/{path}", encoded=True), data="{}", headers=JSON)
            assert (path, response.status) == (path, status)
            assert response.content_type == "application/problem+json"


async def test_field_out_of_bounds_is_named(client: TestClient, catalogue: InMemoryCatalogue) -> None:
    for body, field in (({"name": "n", "price": "NaN"}, "price"), ({"name": "n", "id": 7}, "id"), ({}, "name")):
        found = await problem(await client.put("/products/1", json=body), 422, "invalid")
        assert [error["name"] for error in found["errors"]] == [field]
    assert not catalogue.rows


async def test_body_that_is_no_object_of_json_is_refused(client: TestClient) -> None:
    no_json = (b"", b"{", b"\xff", b'{"name": "\xff"}', b'{"name": "\\ud800"}', b"[" * 5000)
    no_object = (b"[]", b'"text"', b"null", b"7")
    for raw, status in (*((raw, 400) for raw in no_json), *((raw, 422) for raw in no_object)):
        for method, path in (("POST", "/products"), ("PUT", "/products/1"), ("PATCH", "/products/1")):
            headers = {"Content-Type": MERGE_PATCH_JSON} if method == "PATCH" else JSON
            response = await client.request(method, path, data=raw, headers=headers)
            assert (raw[:20], response.status) == (raw[:20], status)
            assert response.content_type == "application/problem+json"


async def test_body_of_ten_megabytes_is_too_large_and_the_server_lives(client: TestClient) -> None:
    body = BytesIO(json.dumps(SHIRT | {"description": "x" * 10_000_000}).encode())
    await problem(await client.post("/products", data=body, headers=JSON), 413, "too-large")
    assert (await client.post("/products", json=SHIRT)).status == 201


async def test_put_replaces_the_whole_row_and_a_field_left_out_is_null(client: TestClient) -> None:
    created = await client.post("/products", json=SHIRT)
    response = await client.put("/products/0108775015", json={"name": "Coat"})
    body = await response.json()
    assert (response.status, body["name"], body["color"], body["price"]) == (200, "Coat", None, None)
    assert response.headers["ETag"] > created.headers["ETag"]


async def test_put_creates_what_is_not_there_and_may_be_repeated(client: TestClient) -> None:
    first = await client.put("/products/new", json={"name": "Coat"})
    assert (first.status, first.headers["Location"]) == (201, "/products/new")
    again = await client.put("/products/new", json={"name": "Coat"})
    assert (again.status, again.headers["ETag"]) == (200, first.headers["ETag"])


async def test_put_with_if_none_match_creates_only(client: TestClient) -> None:
    only_new = {"If-None-Match": "*"}
    assert (await client.put("/products/1", json={"name": "a"}, headers=only_new)).status == 201
    await problem(await client.put("/products/1", json={"name": "b"}, headers=only_new), 412, "changed-meanwhile")
    both = only_new | {"If-Match": "*"}
    await problem(await client.put("/products/1", json={"name": "b"}, headers=both), 412, "changed-meanwhile")
    await problem(await client.put("/products/1", json={"name": "b"}, headers={"If-None-Match": '"x"'}), 422, "invalid")
    assert (await (await client.get("/products/1")).json())["name"] == "a"


async def test_put_that_asks_for_a_row_makes_none(client: TestClient, catalogue: InMemoryCatalogue) -> None:
    for if_match in ("*", '"2026-11-20T10:00:00.000001Z"'):
        response = await client.put("/products/1", json={"name": "a"}, headers={"If-Match": if_match})
        await problem(response, 412, "changed-meanwhile")
    assert not catalogue.rows


async def test_patch_changes_what_it_names_and_null_empties_a_field(client: TestClient) -> None:
    await client.post("/products", json=SHIRT)
    body = await (await patch(client, "0108775015", {"price": "9.90", "color": None})).json()
    assert (body["name"], body["color"], body["price"]) == ("Shirt", None, "9.90")


async def test_patch_may_call_itself_json(client: TestClient) -> None:
    await client.post("/products", json=SHIRT)
    response = await client.patch("/products/0108775015", json={"color": None})
    assert (response.status, (await response.json())["color"]) == (200, None)
    wrong = await client.patch("/products/0108775015", data=b"{}", headers={"Content-Type": "text/plain"})
    await problem(wrong, 415, "wrong-type")


async def test_patch_of_nothing_leaves_the_version(client: TestClient) -> None:
    created = await client.post("/products", json=SHIRT)
    for body in ({}, {"color": "Black"}):
        response = await patch(client, "0108775015", body)
        assert (response.status, response.headers["ETag"]) == (200, created.headers["ETag"])


async def test_patch_cannot_empty_the_name_nor_move_the_key(client: TestClient) -> None:
    await client.post("/products", json=SHIRT)
    for body in ({"name": None}, {"name": ""}, {"article_id": "other"}, {"id": 1}):
        await problem(await patch(client, "0108775015", body), 422, "invalid")


async def test_write_for_an_older_version_is_refused(client: TestClient, catalogue: InMemoryCatalogue) -> None:
    old = (await client.post("/products", json=SHIRT)).headers["ETag"]
    new = (await patch(client, "0108775015", {"color": "Red"}, If_Match=old)).headers["ETag"]
    before = dict(catalogue.rows)
    other_spelling = new.replace("Z", "+00:00")
    unfit = (old, f"W/{new}", '"other"', new.strip('"'), "", f'"x", {old}', other_spelling, '"9999999999"')
    for if_match in unfit:
        headers = {"If-Match": if_match}
        await problem(await patch(client, "0108775015", {"color": "Blue"}, If_Match=if_match), 412, "changed-meanwhile")
        put = await client.put("/products/0108775015", json={"name": "b"}, headers=headers)
        await problem(put, 412, "changed-meanwhile")
        await problem(await client.delete("/products/0108775015", headers=headers), 412, "changed-meanwhile")
    assert catalogue.rows == before
    for if_match in (f'"x", {new}', "*"):
        assert (await patch(client, "0108775015", {}, If_Match=if_match)).status == 200
    assert (await client.delete("/products/0108775015", headers={"If-Match": new})).status == 204


async def test_row_without_a_time_has_a_version_too(client: TestClient, catalogue: InMemoryCatalogue) -> None:
    await client.post("/products", json=SHIRT)
    catalogue.rows["0108775015"] = replace(catalogue.rows["0108775015"], updated_at=None)
    etag = (await client.get("/products/0108775015")).headers["ETag"]
    assert (await patch(client, "0108775015", {"color": "Red"}, If_Match=etag)).status == 200


async def test_product_that_is_not_there_is_not_found(client: TestClient) -> None:
    await problem(await client.get("/products/none"), 404, "no-product")
    await problem(await patch(client, "none", {"color": "Red"}), 404, "no-product")
    await problem(await client.delete("/products/none"), 404, "no-product")


async def test_pages_hold_each_row_once_in_bytewise_order(client: TestClient) -> None:
    keys = ["Z", "a", "B", "-", "10", "9", "é", "a/b", "👗"]
    for key in keys:
        await client.post("/products", json=SHIRT | {"article_id": key})
    seen: list[str] = []
    path: URL | None = URL("/products?limit=2")
    while path:
        response = await client.get(path)
        body = await response.json()
        assert len(body["items"]) <= 2
        seen += [item["article_id"] for item in body["items"]]
        link = response.links.get("next")
        assert (body["next"] is None) == (link is None)
        path = link["url"].relative() if link else None
    assert seen == sorted(keys, key=str.encode)


async def test_page_out_of_bounds_is_refused(client: TestClient) -> None:
    limits = ("limit=0", "limit=201", "limit=-1", "limit=x", "limit=1&limit=2", "limit=")
    for query in (*limits, "offset=3", "after=a%00", "after=!", "after=", f"after={'A' * 4097}"):
        await problem(await client.get(URL(f"/products?{query}", encoded=True)), 422, "invalid")


async def test_page_token_of_another_query_is_refused(client: TestClient) -> None:
    for token in (page_token("another_query", "a"), page_token("listProducts", "a")[:-1]):
        await problem(await client.get("/products", params={"after": token}), 422, "invalid-cursor")


async def test_row_that_cannot_be_read_is_named_and_hides_no_other(
    client: TestClient, catalogue: InMemoryCatalogue
) -> None:
    await client.post("/products", json=SHIRT)
    catalogue.unreadable = {"0": "price is NaN"}
    found = await problem(await client.get("/products/0"), 409, "unreadable-row")
    assert "price is NaN" in found["detail"]
    body = await (await client.get("/products")).json()
    assert body["unreadable"] == [{"article_id": "0", "reason": "price is NaN"}]
    assert [item["article_id"] for item in body["items"]] == ["0108775015"]


@pytest.mark.parametrize("kind", [ErrorKind.TRANSIENT, ErrorKind.OUTAGE])
async def test_outage_of_postgres_asks_to_come_again(
    client: TestClient, catalogue: InMemoryCatalogue, kind: ErrorKind
) -> None:
    catalogue.fault = SourceError("cannot reach 10.0.0.7 as lockstep", kind=kind)
    for response in (
        await client.post("/products", json=SHIRT),
        await client.get("/products"),
        await client.get("/products/1"),
        await client.put("/products/1", json={"name": "a"}),
        await patch(client, "1", {}),
        await client.delete("/products/1"),
    ):
        found = await problem(response, 503, "catalogue-unavailable")
        assert int(response.headers["Retry-After"]) > 0
        assert "10.0.0.7" not in json.dumps(found)


async def test_row_that_the_table_itself_refuses_is_the_callers_to_mend(
    client: TestClient, catalogue: InMemoryCatalogue
) -> None:
    catalogue.fault = SourceError('cannot create a product: violates "cheap"', kind=ErrorKind.PERMANENT)
    found = await problem(await client.post("/products", json=SHIRT), 422, "refused-by-database")
    assert "cheap" in found["detail"]
