"""Brings the points of a batch up to date with as few embeddings as it takes."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime

from schemas.action import DeletePoint, OverwritePayload, UpsertPoint, VerifyPoint
from schemas.collection import LiveCollection
from schemas.document import Deletion, Document, Provenance, StoredPoint, Vectors
from schemas.errors import EmbeddingError, ErrorKind, LockstepError, VectorStoreError
from schemas.product import row_hash, time_text, time_text_of_ms
from streams.batch import Step
from streams.bisect import bisect
from streams.ports import Embedder, Lease, VectorStore
from streams.stopwatch import Stage, Stopwatch

Refused = dict[str, LockstepError]
"""Keys whose point the store or the model will never accept."""


@dataclass(slots=True, kw_only=True)
class PointWriter:
    """Writes the points of one batch into one concrete collection.

    `vectors` holds what was embedded so far, by fingerprint: it outlives an attempt, so that no text is embedded
    twice because a write had to be repeated.
    """

    store: VectorStore
    embedder: Embedder
    live: LiveCollection
    lease: Lease
    vectors: dict[str, Vectors]
    stopwatch: Stopwatch
    now: datetime

    async def write(self, steps: Sequence[Step]) -> Refused:
        """Act on every step; the keys that are refused for good.

        Raises:
            VectorStoreError: To be held: nothing can be written now. What was written may be written again.
            LeaseLostError: The batch belongs to another worker.
        """
        with self.stopwatch.stage(Stage.WRITE):
            return await self._write(steps)

    async def _write(self, steps: Sequence[Step]) -> Refused:
        known = [step for step in steps if isinstance(step.action, OverwritePayload)]
        unsure = [step for step in steps if isinstance(step.action, UpsertPoint | VerifyPoint)]
        refused = await self._try_each([s for s in steps if isinstance(s.action, DeletePoint)], self._delete)
        # Promise 3: after a crash, a lost table or a move to a new recipe the vector may be there already.
        stored = await self._stored(unsure)
        known += [s for s in unsure if _has_vector(s, stored.get(s.key)) and _is_behind(s, stored[s.key])]
        # The guard would refuse what is older than the point, so nothing is embedded for it: its record follows.
        unsure = [s for s in unsure if not _is_newer(stored.get(s.key), s)]
        new = [s for s in unsure if not _has_vector(s, stored.get(s.key))]
        async with self._embedding(new if known else ()):
            refused |= await self._try_each(known, self._overwrite)
            # A write by filter is silent about a point that is missing or has another vector.
            written = await self._stored([s for s in known if s.key not in refused])
        new += [s for s in known if s.key not in refused and _is_behind(s, written.get(s.key))]
        return refused | await self._try_each(new, self._embed_and_upsert)

    async def _stored(self, steps: Sequence[Step]) -> dict[str, StoredPoint]:
        if not steps:
            return {}
        return dict(await self.store.stored_points(self.live.name, [step.key for step in steps]))

    async def _try_each(self, steps: Sequence[Step], act: Callable[[Sequence[Step]], Awaitable[None]]) -> Refused:
        failures = await bisect(steps, act)
        refused = {step.key: error for step, error in failures}
        if refused and len(refused) == len(steps):
            await self._blame_outside(list(refused.values()))
        return refused

    async def _blame_outside(self, refusals: Sequence[LockstepError]) -> None:
        """Nothing was accepted: when something harmless is refused too, the records are not to blame."""
        try:
            if any(isinstance(refusal, VectorStoreError) for refusal in refusals):
                await self.store.probe(self.live.name)
            else:
                await self.embedder.embed(["probe"])
        except (VectorStoreError, EmbeddingError) as error:
            if error.kind is not ErrorKind.PERMANENT:
                raise
            refuser = "the model" if isinstance(error, EmbeddingError) else "qdrant"
            raise type(error)(
                f"{refuser} refuses everything: {refusals[0]}",
                kind=ErrorKind.OUTAGE,
                hint=f"see the log and the settings of {refuser}",
            ) from error

    async def _delete(self, steps: Sequence[Step]) -> None:
        self.lease.check()
        deletions = [Deletion(key=s.key, version=s.after.version) for s in steps if s.after]
        await self.store.delete(self.live.name, deletions)

    async def _overwrite(self, steps: Sequence[Step]) -> None:
        self.lease.check()
        await self.store.overwrite_payloads(self.live.name, [self._document(step, None) for step in steps])

    @asynccontextmanager
    async def _embedding(self, steps: Sequence[Step]) -> AsyncIterator[None]:
        """Have the model at work while Qdrant is. What it cannot embed, it is asked for again when its turn comes.

        Ends when the model has, whatever comes: what it embeds outlives the attempt. Meanwhile the stopwatch counts
        for the model; who is in here enters no stage.
        """
        if not steps:
            yield
            return
        self.lease.check()

        async def embed() -> None:
            with suppress(LockstepError):
                await self._embed(steps)

        task = asyncio.create_task(embed())
        try:
            yield
        finally:
            await task

    async def _embed(self, steps: Sequence[Step]) -> None:
        """Fill `vectors` with what the steps need and it lacks."""
        texts = {
            s.after.embedding_fingerprint: self.live.recipe.render(s.change.row)
            for s in steps
            if s.after and s.change and s.change.row and s.after.embedding_fingerprint not in self.vectors
        }
        if texts:
            with self.stopwatch.stage(Stage.EMBED):
                self.vectors |= zip(texts, await self.embedder.embed(list(texts.values())), strict=True)

    async def _embed_and_upsert(self, steps: Sequence[Step]) -> None:
        await self._embed(steps)
        self.lease.check()
        documents = [
            self._document(s, self.vectors[s.after.embedding_fingerprint]) for s in steps if s.after is not None
        ]
        await self.store.upsert(self.live.name, documents)

    def _document(self, step: Step, vectors: Vectors | None) -> Document:
        change, after = step.change, step.after
        if change is None or change.row is None or after is None or after.row is None:
            raise ValueError(f"no row to write for {step.key}")
        return Document(
            row=change.row,
            vectors=vectors,
            provenance=Provenance(
                version=change.version,
                lsn=change.lsn,
                operation=change.operation,
                source_time=time_text_of_ms(change.source_time_ms),
                recipe=self.live.recipe.recipe_id,
                embedding_fingerprint=after.embedding_fingerprint,
                row_hash=row_hash(after.row),
                indexed_at=time_text(self.now) or "",
                source=str(change.place),
            ),
        )


def _has_vector(step: Step, point: StoredPoint | None) -> bool:
    return (
        point is not None and step.after is not None and point.embedding_fingerprint == step.after.embedding_fingerprint
    )


def _is_behind(step: Step, point: StoredPoint | None) -> bool:
    """Whether the point is missing or older than what we would write."""
    return point is None or step.after is None or (point.version or 0) < step.after.version


def _is_newer(point: StoredPoint | None, step: Step) -> bool:
    """Whether the point has a later change already."""
    return point is not None and step.after is not None and (point.version or 0) > step.after.version
