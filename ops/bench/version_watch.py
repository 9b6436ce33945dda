"""Sees whether a point's version ever went down, by reading each written point back before the next write."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import orjson

from schemas.document import PROVENANCE, VERSION_FIELD, point_id
from schemas.errors import VectorStoreError

PointId = int | str
Ask = Callable[[str, Mapping[str, Any]], Awaitable[Any]]
"""Posts a body to a path of Qdrant and gives the `result`, or raises `VectorStoreError`."""

_KEY = "article_id"
_NO_VERSION = -1
_PAGE = 1000
_WITH_PAYLOAD = [VERSION_FIELD, _KEY]

_WRITES = {
    ("PUT", "points"),
    ("PUT", "points/payload"),
    ("PUT", "points/vectors"),
    ("POST", "points/batch"),
    ("POST", "points/delete"),
    ("POST", "points/payload"),
    ("POST", "points/payload/clear"),
    ("POST", "points/payload/delete"),
    ("POST", "points/vectors/delete"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """A point that was there all the time and whose version went from `before` down to `after`, or was lost (None)."""

    collection: str
    point: PointId
    key: str | None
    before: int
    after: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Revival:
    """A point that was removed at version `removed` and is there again with the older version `after`.

    Qdrant cannot guard what is missing; the worker's late second delete removes it. One that lasts is a ghost, which
    the comparison with Postgres finds.
    """

    collection: str
    point: PointId
    key: str | None
    removed: int
    after: int | None


@dataclass(slots=True)
class _Track:
    exists: bool = False
    version: int = _NO_VERSION
    """When last seen. Versions seen only grow until the first violation, so this is the highest."""
    removed: int = _NO_VERSION
    """The highest version of a delete after which the point was seen to be missing."""
    deletion: int = _NO_VERSION
    """Of a delete since the point was last seen."""


@dataclass(slots=True)
class _Watched:
    """One collection: its points, those of them whose state is not known, and the order of its writes."""

    tracks: defaultdict[PointId, _Track] = field(default_factory=lambda: defaultdict(_Track))
    unread: set[PointId] = field(default_factory=set)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class VersionWatch:
    """Proves promise 2 on every write that passes through `over`. Outlives restarts of Qdrant.

    `violations` must stay empty; `revivals` may have entries. Collections go by the name in the request, so that writes
    through an alias would be watched apart. Dropping a collection and making it anew is not understood.
    """

    def __init__(self, ask: Ask) -> None:
        self.violations: list[Violation] = []
        self.revivals: list[Revival] = []
        self._ask = ask
        self._watched: defaultdict[str, _Watched] = defaultdict(_Watched)

    @property
    def unread(self) -> int:
        """How many points were written to and could not be read since."""
        return sum(len(watched.unread) for watched in self._watched.values())

    @property
    def points(self) -> int:
        """How many points are known, removed ones too."""
        return sum(len(watched.tracks) for watched in self._watched.values())

    @asynccontextmanager
    async def over(self, method: str, path: str, body: bytes) -> AsyncIterator[None]:
        """Make a request inside the block: if it is a write, no other runs until its points were read.

        When the block raises, or Qdrant cannot be read, they are read at the collection's next write.
        """
        collection = _written_collection(method, path)
        if collection is None:
            yield
            return
        watched = self._watched[collection]
        # One write at a time, or two could pass between two looks. It hides no order of writes that could happen: the
        # endpoint is one process and a server's shard applies its updates one after the other, too.
        async with watched.lock:
            _expect(watched, path, body)
            yield
            await self._look(collection, watched)

    async def look_again(self) -> None:
        """Read what could not be read; points stay in `unread` while Qdrant is down."""
        for collection, watched in list(self._watched.items()):
            async with watched.lock:
                await self._look(collection, watched)

    async def look_at_all(self) -> None:
        """Read every point of every collection that was written to.

        Raises:
            VectorStoreError: Qdrant cannot be read.
        """
        for collection, watched in list(self._watched.items()):
            async with watched.lock:
                found = {point: payload async for point, payload in self._scroll(collection)}
                for point in found.keys() | watched.tracks.keys() | watched.unread:
                    self._note(collection, point, watched.tracks[point], found.get(point))
                watched.unread.clear()

    async def _look(self, collection: str, watched: _Watched) -> None:
        if not watched.unread:
            return
        request = {"ids": list(watched.unread), "with_payload": _WITH_PAYLOAD, "with_vector": False}
        try:
            records = await self._ask(f"/collections/{collection}/points", request)
        except VectorStoreError:
            return
        found = {record["id"]: record["payload"] or {} for record in records}
        for point in watched.unread:
            self._note(collection, point, watched.tracks[point], found.get(point))
        watched.unread.clear()

    async def _scroll(self, collection: str) -> AsyncIterator[tuple[PointId, Mapping[str, Any]]]:
        request = {"limit": _PAGE, "with_payload": _WITH_PAYLOAD, "with_vector": False}
        while True:
            page = await self._ask(f"/collections/{collection}/points/scroll", request)
            for record in page["points"]:
                yield record["id"], record["payload"] or {}
            if page["next_page_offset"] is None:
                return
            request["offset"] = page["next_page_offset"]

    def _note(self, collection: str, point: PointId, track: _Track, payload: Mapping[str, Any] | None) -> None:
        """Compare what is there now, None for nothing, with what was there before."""
        before, deletion = track.version, track.deletion
        track.deletion = _NO_VERSION
        if payload is None:
            track.removed = max(track.removed, before, deletion)
            track.exists, track.version = False, _NO_VERSION
            return
        stated = (payload.get(PROVENANCE) or {}).get("version")
        version = _NO_VERSION if stated is None else stated
        removed = max(track.removed, deletion)
        # Down after a delete that nobody saw the effect of: it was removed and came back in between.
        was_gone = not track.exists or (version < before <= deletion)
        track.exists, track.version = True, version
        key = payload.get(_KEY)
        if was_gone and version < removed:
            self.revivals.append(Revival(collection=collection, point=point, key=key, removed=removed, after=stated))
        elif not was_gone and version < before:
            self.violations.append(Violation(collection=collection, point=point, key=key, before=before, after=stated))


def _written_collection(method: str, path: str) -> str | None:
    match path.strip("/").split("/", 2):
        case ["collections", collection, call] if (method, call) in _WRITES:
            return collection
    return None


def _expect(watched: _Watched, path: str, body: bytes) -> None:
    """Note which points a write concerns, and at which version it deletes them."""
    try:
        given = orjson.loads(body)
    except orjson.JSONDecodeError:
        return  # Qdrant will refuse it whole
    # A filter that names no point may mean any.
    watched.unread |= set(_named_points(given)) or watched.tracks.keys()
    for selector in _delete_selectors(path, given):
        for clause in _clauses(selector):
            guard = _guard(clause)
            for point in _named_points(clause):
                track = watched.tracks[point]
                track.deletion = max(track.deletion, track.version if guard is None else guard)


def _named_points(given: Any) -> Iterator[PointId]:
    """Every point that a body names: as points, as ids, in a condition on ids or on the key."""
    match given:
        case {"key": "article_id", "match": {"value": str(key)}}:
            yield point_id(key)
        case {"key": "article_id", "match": {"any": [*keys]}}:
            yield from (point_id(key) for key in keys if isinstance(key, str))
        case dict():
            for name, value in given.items():
                if name in ("points", "ids", "has_id") and isinstance(value, list):
                    yield from _point_ids(value)
                elif name not in ("payload", "payloads", "vectors"):
                    yield from _named_points(value)
        case list():
            for member in given:
                yield from _named_points(member)


def _point_ids(given: list[Any]) -> Iterator[PointId]:
    """As Qdrant spells them. What is no id is left out: Qdrant refuses it, here and in a reading."""
    for member in given:
        identity = member.get("id") if isinstance(member, dict) else member
        if isinstance(identity, int):
            yield identity
        elif isinstance(identity, str):
            try:
                yield str(UUID(identity))
            except ValueError:
                continue


def _delete_selectors(path: str, given: Any) -> Iterator[Any]:
    if path.rstrip("/").endswith("/points/delete"):
        yield given
    elif isinstance(given, dict) and isinstance(given.get("operations"), list):
        yield from (operation["delete"] for operation in given["operations"] if "delete" in operation)


def _clauses(selector: Any) -> list[Any]:
    """The alternatives of a filter, each with a version of its own; points chosen by id are one."""
    match selector:
        case {"filter": {"should": [*clauses]}}:
            return clauses
        case {"filter": dict(only)}:
            return [only]
        case _:
            return [selector]


def _guard(clause: Any) -> int | None:
    """The version above which a clause spares a point."""
    match clause:
        case {"must_not": [*conditions]}:
            for condition in conditions:
                match condition:
                    case {"key": str(name), "range": {"gt": int() | float() as version}} if name == VERSION_FIELD:
                        return int(version)
    return None
