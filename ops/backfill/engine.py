"""Brings a collection up to date with the source topic, while workers go on writing.

    read a range ─ collapse to the last state per key ─ ask the collection what it has ─ take vectors over, embed the
    rest ─ write, guarded ─ follow the tail ─ deletes once more

Safe to repeat at any point and to run beside workers: every write carries its version. What a version cannot guard is
a point that is missing, so that an upsert of ours may revive a row that a worker deleted meanwhile: deletes
are settled after the last upsert.
"""

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, Protocol

from ops.backfill.change_log import ChangeLog
from ops.backfill.comparison import is_right, newer_than
from ops.backfill.latest import LatestRows
from ops.backfill.progress import Progress
from ops.backfill.requests import Requests, each, in_parts
from schemas.collection import LiveCollection
from schemas.document import PROVENANCE, Deletion, Document, Vectors
from schemas.errors import ReplayError
from schemas.record import Place
from streams.bisect import bisect
from streams.ports import Embedder

POINTS_A_REQUEST = 256
DELETES_A_REQUEST = 200
NEAR_SECONDS = 1.0
"""Followed closely enough: a pass took no longer, so that no more than that is missing at its end."""

ExistingKeys = Callable[[Sequence[str]], Awaitable[set[str]]]
"""Those of the keys that have a row in Postgres. Raises `SourceError`."""


class BackfillStore(Protocol):
    """Qdrant, as a backfill uses it; every method raises `VectorStoreError`, and every write may be repeated."""

    async def payloads(self, collection: str, keys: Sequence[str]) -> Mapping[str, dict[str, Any]]:
        """The whole payloads of these keys' points; a missing point is absent."""
        ...

    async def vectors(self, collection: str, keys: Sequence[str]) -> Mapping[str, tuple[str | None, Vectors]]:
        """Embedding fingerprint and vectors of these keys' points; a missing point is absent."""
        ...

    async def upsert(self, collection: str, documents: Sequence[Document]) -> None:
        """Write points whole; a point that carries a newer version is left alone."""
        ...

    async def insert(self, collection: str, documents: Sequence[Document]) -> None:
        """Write points that are not there yet; any other is left alone."""
        ...

    async def delete(self, collection: str, deletions: Sequence[Deletion]) -> None:
        """Remove points that carry no newer version."""
        ...

    def scroll_keys(self, collection: str) -> AsyncIterator[list[str | None]]:
        """The key of every point, by pages."""
        ...


def utc_now() -> datetime:
    """The clock of `indexed_at`."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Donor:
    """Another collection of the same recipe, perhaps in another Qdrant."""

    store: BackfillStore
    collection: str


@dataclass(slots=True, kw_only=True)
class Backfill:
    """One collection and the topic it is filled from.

    The vectors of the `donor` are taken over where the embedding fingerprint is equal. With `dry_run` everything is
    read, compared and counted, and nothing is written or embedded. Reading on raises `ReplayError` where the topic is
    no longer the one that was read.
    """

    log: ChangeLog
    latest: LatestRows
    store: BackfillStore
    target: LiveCollection
    embedder: Embedder
    donor: Donor | None = None
    dry_run: bool = False
    progress: Progress = field(default_factory=Progress)
    requests: Requests = field(default_factory=Requests)
    clock: Callable[[], datetime] = utc_now
    position: dict[int, int] = field(init=False, default_factory=dict)
    """The next offset to read, by partition."""
    _gone: set[str] = field(init=False, default_factory=set)
    """Deleted while a write might be late: it would bring them back."""

    async def replay(self, starts: Mapping[int, int], ends: Mapping[int, int]) -> None:
        """Write the newest state of every key that has a record in this range; to be used in place of the others.

        The keys are chosen by the range, and their records are read on to the high watermarks.
        """
        self.position = dict(starts)
        await self.read_on("reading", ends)
        self.latest.closed = True
        # Other partitions than those of the range have no record of these keys.
        await self.read_further("reading on")
        await self._write("writing")
        await self._settle_deletes()

    async def read(self, starts: Mapping[int, int]) -> None:
        """Read from these offsets to the high watermarks of now."""
        self.position = dict(starts)
        await self.read_further("reading")

    async def read_further(self, phase: str) -> None:
        """Read on to the high watermarks of now, and write nothing yet."""
        await self.read_on(phase, await self._ends())

    async def fill(self, *, empty: bool = False) -> None:
        """Write every key that was met.

        `empty` says that the collection has no points yet and that nobody else writes to it, so that it need not be
        asked for them, and points need only be inserted.
        """
        await self._write("filling", empty=empty)

    async def follow(self) -> None:
        """Read on and write until a pass found nothing, or took less than a second and so left no more behind."""
        while True:
            started = time.monotonic()
            if not await self.reach_now() or time.monotonic() - started < NEAR_SECONDS:
                return

    async def finish(self) -> None:
        """Reach every change up to now, deletes included; what comes later is the workers'.

        To be called once the workers write to this collection.
        """
        await self.reach_now()
        await self._settle_deletes()

    async def reach_now(self) -> int:
        """Read on to the high watermarks of now, and write what changed; how many keys that were."""
        await self.read_further("following")
        return await self._write("following")

    async def _settle_deletes(self) -> None:
        """Read on to the high watermarks of now, and apply the deletes found there, and nothing else.

        Comes when the last upsert is acknowledged. A worker that deleted a point before that, and so could not keep an
        upsert of ours from reviving it, had read its delete below these watermarks. A delete of ours is repeated if a
        write was given up before it, since that may have been carried out behind it.
        """
        if self._gone:
            await self.requests.until_none_is_late()
        await self.read_further("settling")
        await self._delete([*self.latest.take_changed().gone, *self.latest.without_row(self._gone)])

    async def remove_orphans(self, existing_keys: ExistingKeys) -> None:
        """Remove the points of rows that neither topic nor Postgres has, though it was read further than their records.

        Compaction removes a deleted key with its tombstone, so that a collection left alone for long has points whose
        delete nobody will ever read. Needs `read` from the low watermarks. Postgres is asked because a topic that was
        made anew, or has lost records, does not know every row.
        """
        async for page in self.store.scroll_keys(self.target.name):
            suspects = self.latest.unknown([key for key in page if key is not None])
            if suspects:
                present = await existing_keys(suspects)
                suspects = [key for key in suspects if key not in present]
                found = await self.store.payloads(self.target.name, suspects)
                orphans = [(key, payload[PROVENANCE]) for key, payload in found.items() if self._was_read(payload)]
                for part in in_parts(
                    [Deletion(key=key, version=p["version"]) for key, p in orphans], DELETES_A_REQUEST
                ):
                    await self._send_deletes(part)

    def _was_read(self, payload: Mapping[str, Any]) -> bool:
        """Whether the record that the point was made from comes before our position, or is of an earlier epoch."""
        provenance = payload.get(PROVENANCE)
        if not isinstance(provenance, dict) or not isinstance(provenance.get("version"), int):
            return False
        try:
            place = Place.parse(provenance["source"])
        except (KeyError, TypeError, ValueError):
            return False
        position = replace(place, offset=self.position.get(place.partition, 0))
        return place.topic == self.latest.topic and provenance["version"] < position.version(self.latest.epoch)

    async def read_on(self, phase: str, ends: Mapping[int, int]) -> None:
        """Take the records from the position up to these offsets, and write nothing yet."""
        starts = {number: start for number, start in self.position.items() if start < ends[number]}
        total = sum(ends[number] - start for number, start in starts.items())
        if not total:
            return
        self.progress.begin(phase, total, "offsets")
        async for records in self.log.read(starts, ends):
            await self.latest.add(records)
            self.progress.records += len(records)
            self.progress.advance(len(records))
        self.progress.keys = len(self.latest)
        self.position |= {number: ends[number] for number in starts}

    async def _ends(self) -> dict[int, int]:
        marks = await self.log.high_watermarks()
        for number, position in self.position.items():
            if marks[number] < position:
                raise ReplayError(
                    f"{self.latest.topic}[{number}] ends at {marks[number]}, and was read up to {position}: "
                    "it was made anew, or has lost its tail",
                    hint="docs/table.md, then run it again",
                )
        return {number: marks[number] for number in self.position}

    async def _write(self, phase: str, *, empty: bool = False) -> int:
        changed = self.latest.take_changed()
        if not changed.count:
            return 0
        self.progress.begin(phase, changed.count, "keys")
        await self._delete(changed.gone)
        # The shortest first: texts of like length are embedded together, since a batch is padded to its longest.
        await each(in_parts(changed.rows, POINTS_A_REQUEST), partial(self._write_part, empty=empty))
        return changed.count

    async def _write_part(self, keys: Sequence[str], *, empty: bool) -> None:
        await self.requests.patiently(lambda: self._bring_up_to_date(keys, empty=empty))
        self.progress.advance(len(keys))

    async def _bring_up_to_date(self, keys: Sequence[str], *, empty: bool) -> None:
        documents = self.latest.documents(keys, self.clock())
        stored = {} if empty else await self.store.payloads(self.target.name, keys)
        behind = [
            document
            for key, document in documents.items()
            if key not in stored or not (is_right(stored[key], document) or newer_than(stored[key], document))
        ]
        vectors = await self._at_hand(behind, stored)
        embedded: dict[str, Vectors] = {}
        # An insert that comes late, after its request was given up, finds the point that followed it, and does nothing.
        write = self.store.insert if empty else self.store.upsert
        attempt = partial(self._embed_and_write, at_hand=vectors, made=embedded, write=write)
        refused = [] if self.dry_run else await bisect(behind, attempt)
        if refused and len(refused) == len(behind) > 1:
            raise refused[0][1]  # the records are not to blame when none is accepted
        p = self.progress
        p.right += len(documents) - len(behind)
        p.missing += 0 if empty else sum(document.key not in stored for document in behind)
        p.reused += sum(document.key in vectors for document in behind)
        p.embedded += len(behind) - sum(document.key in vectors for document in behind)
        p.refused += len(refused)

    async def _at_hand(
        self, documents: Sequence[Document], stored: Mapping[str, Mapping[str, Any]]
    ) -> dict[str, Vectors]:
        """The vectors that a collection has already for these very texts, by key."""
        fingerprints = {document.key: document.provenance.embedding_fingerprint for document in documents}
        own = [key for key in fingerprints if _fingerprint(stored.get(key)) == fingerprints[key]]
        found = await self._vectors(Donor(store=self.store, collection=self.target.name), own, fingerprints)
        if self.donor:
            rest = [key for key in fingerprints if key not in found]
            found |= await self._vectors(self.donor, rest, fingerprints)
        return found

    async def _vectors(self, donor: Donor, keys: Sequence[str], fingerprints: Mapping[str, str]) -> dict[str, Vectors]:
        if not keys:
            return {}
        found = await donor.store.vectors(donor.collection, keys)
        return {key: vectors for key, (fingerprint, vectors) in found.items() if fingerprint == fingerprints[key]}

    async def _embed_and_write(
        self,
        documents: Sequence[Document],
        *,
        at_hand: Mapping[str, Vectors],
        made: dict[str, Vectors],
        write: Callable[[str, Sequence[Document]], Awaitable[None]],
    ) -> None:
        texts = [d for d in documents if d.key not in at_hand and d.key not in made]
        if texts:
            rendered = [self.target.recipe.render(document.row) for document in texts]
            vectors = await self.embedder.embed(rendered)
            made |= dict(zip((document.key for document in texts), vectors, strict=True))
        whole = [replace(d, vectors=at_hand.get(d.key) or made[d.key]) for d in documents]
        await write(self.target.name, whole)

    async def _delete(self, keys: Sequence[str]) -> None:
        if self.requests.one_may_be_late:
            self._gone.update(keys)
        for part in in_parts(keys, DELETES_A_REQUEST):
            await self._send_deletes(self.latest.deletions(part))

    async def _send_deletes(self, deletions: Sequence[Deletion]) -> None:
        if not self.dry_run:
            await self.requests.patiently(partial(self.store.delete, self.target.name, deletions))
        self.progress.deleted += len(deletions)
        self.progress.advance(len(deletions))


def _fingerprint(payload: Mapping[str, Any] | None) -> str | None:
    provenance = (payload or {}).get(PROVENANCE)
    return provenance.get("embedding_fingerprint") if isinstance(provenance, dict) else None
