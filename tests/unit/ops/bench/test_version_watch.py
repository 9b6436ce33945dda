"""What the watch makes of what it reads, over a Qdrant of one dictionary."""

import asyncio
from collections.abc import Mapping
from typing import Any

import orjson
import pytest

from ops.bench.version_watch import Revival, VersionWatch, Violation
from schemas.document import point_id
from schemas.errors import VectorStoreError

A1 = point_id("A1")


class Reads:
    """Answers the watch's reads; `versions` is what is stored, None for a point without one."""

    def __init__(self) -> None:
        self.versions: dict[str, int | None] = {}
        self.is_down = False
        self.log: list[str] = []

    async def __call__(self, path: str, body: Mapping[str, Any]) -> Any:
        self.log.append("read")
        if self.is_down:
            raise VectorStoreError("down")
        if path.endswith("/scroll"):
            return {"points": [self._record(point) for point in self.versions], "next_page_offset": None}
        return [self._record(point) for point in body["ids"] if point in self.versions]

    def _record(self, point: str) -> dict[str, Any]:
        version = self.versions[point]
        return {"id": point, "payload": {"article_id": "A1"} | ({"_lockstep": {"version": version}} if version else {})}


class Story:
    """One collection, one point, and writes that do what they are told."""

    def __init__(self) -> None:
        self.reads = Reads()
        self.watch = VersionWatch(self.reads)

    async def write(self, version: int | None) -> None:
        body = orjson.dumps({"points": [{"id": A1, "vector": [1.0], "payload": {}}]})
        async with self.watch.over("PUT", "/collections/c/points", body):
            self.reads.log.append("write")
            await asyncio.sleep(0)
            self.reads.versions[A1] = version

    async def delete(self, version: int, *, applied: bool = True) -> None:
        clause = {
            "must": [{"has_id": [A1]}],
            "must_not": [{"key": "_lockstep.version", "range": {"gt": float(version)}}],
        }
        body = orjson.dumps({"filter": {"should": [clause]}})
        async with self.watch.over("POST", "/collections/c/points/delete", body):
            if applied:
                self.reads.versions.pop(A1, None)


def violation(before: int, after: int | None) -> Violation:
    return Violation(collection="c", point=A1, key="A1", before=before, after=after)


def revival(removed: int, after: int | None) -> Revival:
    return Revival(collection="c", point=A1, key="A1", removed=removed, after=after)


async def test_promise_2_a_version_that_went_down_is_a_violation_once() -> None:
    story = Story()
    for version in (5, 7, 7, 4, 4, 6):
        await story.write(version)
    assert story.watch.violations == [violation(7, 4)]
    assert story.watch.revivals == []


async def test_lost_version_is_a_violation() -> None:
    story = Story()
    await story.write(5)
    await story.write(None)
    assert story.watch.violations == [violation(5, None)]


async def test_older_point_after_a_delete_is_a_revival_and_no_violation() -> None:
    story = Story()
    await story.write(5)
    await story.delete(9)
    await story.write(7)
    await story.write(8)
    assert story.watch.violations == []
    assert story.watch.revivals == [revival(9, 7)]


async def test_each_return_of_a_ghost_is_a_revival() -> None:
    story = Story()
    for _ in range(2):
        await story.delete(9)
        await story.write(7)
    assert story.watch.revivals == [revival(9, 7), revival(9, 7)]


async def test_newer_point_after_a_delete_is_neither() -> None:
    story = Story()
    await story.write(5)
    await story.delete(6)
    await story.write(7)
    assert (story.watch.violations, story.watch.revivals) == ([], [])


async def test_delete_that_was_not_applied_removes_nothing() -> None:
    story = Story()
    await story.write(10)
    await story.delete(9, applied=False)
    await story.write(11)
    assert (story.watch.violations, story.watch.revivals) == ([], [])


async def test_delete_that_was_seen_to_fail_explains_no_drop() -> None:
    story = Story()
    await story.write(10)
    await story.delete(11, applied=False)
    await story.write(8)
    assert story.watch.violations == [violation(10, 8)]


async def test_unseen_delete_of_an_older_version_explains_no_drop() -> None:
    story = Story()
    await story.write(10)
    story.reads.is_down = True
    await story.delete(9, applied=False)
    story.reads.is_down = False
    await story.write(8)
    assert story.watch.violations == [violation(10, 8)]


async def test_what_could_not_be_read_is_read_at_the_next_look() -> None:
    story = Story()
    await story.write(10)
    story.reads.is_down = True
    await story.write(8)
    await story.watch.look_again()
    assert (story.watch.unread, story.watch.violations) == (1, [])
    story.reads.is_down = False
    await story.watch.look_again()
    assert (story.watch.unread, story.watch.violations) == (0, [violation(10, 8)])


async def test_write_that_fails_leaves_its_points_to_be_read() -> None:
    story = Story()
    with pytest.raises(VectorStoreError):
        async with story.watch.over("POST", "/collections/c/points/delete", orjson.dumps({"points": [A1]})):
            raise VectorStoreError("connection lost")
    assert story.watch.unread == 1


async def test_drop_over_a_delete_that_nobody_saw_is_a_revival() -> None:
    story = Story()
    await story.write(10)
    story.reads.is_down = True
    await story.delete(11)
    story.reads.is_down = False
    await story.write(9)
    assert story.watch.violations == []
    assert story.watch.revivals == [revival(11, 9)]


async def test_next_write_waits_until_the_last_one_was_read() -> None:
    story = Story()
    await asyncio.gather(story.write(1), story.write(2))
    assert story.reads.log == ["write", "read", "write", "read"]


async def test_look_at_all_sees_what_changed_unseen() -> None:
    story = Story()
    await story.write(10)
    story.reads.versions[A1] = 9
    await story.watch.look_at_all()
    assert story.watch.violations == [violation(10, 9)]


async def test_look_at_all_says_when_it_cannot_look() -> None:
    story = Story()
    await story.write(10)
    story.reads.is_down = True
    with pytest.raises(VectorStoreError):
        await story.watch.look_at_all()


@pytest.mark.parametrize(
    ("method", "call", "body"),
    [
        pytest.param("PUT", "points", {"points": [{"id": A1, "payload": {"ids": ["x"]}}]}, id="points"),
        pytest.param("PUT", "points", {"batch": {"ids": [A1], "vectors": [[1.0]]}}, id="columns"),
        pytest.param("PUT", "points", {"points": [{"id": A1.upper()}]}, id="another spelling"),
        pytest.param("POST", "points/payload", {"payload": {}, "points": [A1]}, id="payload by id"),
        pytest.param("PUT", "points/payload", {"payload": {}, "filter": {"must": [{"has_id": [A1]}]}}, id="by filter"),
        pytest.param(
            "POST",
            "points/delete",
            {"filter": {"must": [{"key": "article_id", "match": {"value": "A1"}}]}},
            id="by key",
        ),
        pytest.param(
            "POST",
            "points/delete",
            {"filter": {"must": [{"key": "article_id", "match": {"any": ["A1"]}}]}},
            id="by keys",
        ),
        pytest.param("POST", "points/batch", {"operations": [{"delete": {"points": [A1]}}]}, id="batch"),
    ],
)
async def test_points_of_a_write_are_found_in_every_form(method: str, call: str, body: object) -> None:
    watch = VersionWatch(reads := Reads())
    reads.is_down = True
    async with watch.over(method, f"/collections/c/{call}", orjson.dumps(body)):
        pass
    reads.is_down, reads.versions = False, {A1: 1}
    await watch.look_again()
    assert watch.points == 1
    reads.versions[A1] = None
    await watch.look_at_all()
    assert watch.violations == [violation(1, None)]


async def test_filter_that_names_no_point_may_mean_any() -> None:
    story = Story()
    await story.write(10)
    body = orjson.dumps({"filter": {"must": [{"key": "color", "match": {"value": "Black"}}]}, "payload": {}})
    async with story.watch.over("POST", "/collections/c/points/payload", body):
        story.reads.versions[A1] = 3
    assert story.watch.violations == [violation(10, 3)]


@pytest.mark.parametrize("body", [b"", b"{", b'{"points": ["no id", {"id": null}, []]}', b"[1]", b'"x"'])
async def test_body_that_qdrant_will_refuse_is_let_through(body: bytes) -> None:
    watch = VersionWatch(Reads())
    async with watch.over("POST", "/collections/c/points/delete", body):
        pass
    assert watch.unread == 0


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/collections/c/points"), ("POST", "/collections/c/points/query/batch"), ("PUT", "/collections/c")],
)
async def test_what_is_no_write_of_points_is_not_watched(method: str, path: str) -> None:
    watch = VersionWatch(reads := Reads())
    reads.is_down = True
    async with watch.over(method, path, orjson.dumps({"ids": [A1]})):
        pass
    assert watch.unread == 0
