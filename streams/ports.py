"""What `streams` needs from the outside; `connectors` provide it and `ops.worker` joins the two."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from schemas.collection import LiveCollection
from schemas.dead_letter import DeadLetter
from schemas.document import Deletion, Document, StoredPoint, Vectors
from schemas.indexed_row import IndexedRow
from schemas.product import Product
from schemas.recipe import Recipe
from schemas.record import OutgoingRecord, Place, Stretch


@dataclass(frozen=True, slots=True, kw_only=True)
class TableEntry:
    """An entry to remember, in the partition of its source record."""

    partition: int
    key: str
    row: IndexedRow


class VectorStore(Protocol):
    """Qdrant, as the indexer uses it. Every write is guarded by version and safe to repeat.

    All methods raise `VectorStoreError`: transient, an outage that concerns every record, or permanent for this
    request.
    """

    async def live_collection(self) -> LiveCollection:
        """Look the alias up, anew at each call."""
        ...

    async def stored_points(self, collection: str, keys: Sequence[str]) -> Mapping[str, StoredPoint]:
        """What is stored for these keys; a missing point is absent from the answer."""
        ...

    async def upsert(self, collection: str, documents: Sequence[Document]) -> None:
        """Write points whole; a point that carries a newer version is left alone."""
        ...

    async def overwrite_payloads(self, collection: str, documents: Sequence[Document]) -> None:
        """Replace payloads and keep vectors.

        A point that is missing, carries a newer version, or has a vector of another embedding fingerprint is left
        alone without an error: read it back.
        """
        ...

    async def delete(self, collection: str, deletions: Sequence[Deletion]) -> None:
        """Remove points that carry no newer version. Removing what is missing is no error."""
        ...

    async def probe(self, collection: str) -> None:
        """Raise what a write of any point raises, and leave no point behind."""
        ...


class Embedder(Protocol):
    """One recipe's model."""

    async def embed(self, texts: Sequence[str]) -> list[Vectors]:
        """Vectors in the order of the texts. Never NaN: raises `EmbeddingError` instead."""
        ...


class Embedders(Protocol):
    """The models at hand."""

    async def for_recipe(self, recipe: Recipe) -> Embedder:
        """Load the recipe's model, or give the one already loaded. Raises `EmbeddingError`."""
        ...


class RowSource(Protocol):
    """Postgres, as the indexer uses it: the present state of a row whose change did not carry every column."""

    async def fetch_row(self, article_id: str) -> Product | None:
        """The row now, or None when it is gone. Raises `SourceError`."""
        ...


class IndexedRows(Protocol):
    """The worker's table: one entry per key."""

    def get(self, key: str, partition: int) -> IndexedRow | None:
        """The entry of a key in a partition that is ours; None, too, where its changes stand in another partition."""
        ...

    async def put(self, entries: Sequence[TableEntry]) -> None:
        """Remember entries; returns once the broker has confirmed their changelog records."""
        ...


class DeadLetterTopic(Protocol):
    """Where records that cannot be applied are set aside."""

    async def publish(self, letters: Sequence[DeadLetter]) -> None:
        """Returns once the broker has confirmed them all."""
        ...


class OrderedTopics(Protocol):
    """Where records go out whose order matters: events to other teams, entries to the table's changelog."""

    async def publish(self, records: Sequence[OutgoingRecord]) -> Sequence[Stretch]:
        """Send them in their order, behind those of every call before; returns once the broker has confirmed them all.

        That may take however long. Gives what was written to each partition of each topic; somebody else's records may
        stand among them.

        After a failure none that follows the first unconfirmed one of its topic and partition is there either, so that
        whoever publishes the whole again leaves no record before its predecessor.

        Raises:
            BrokerError: The broker refuses one, to be held: never permanent.
        """
        ...


class Trail(Protocol):
    """Where a worker says what became of each record, for an audit."""

    def note(self, outcomes: Sequence[tuple[Place, str]]) -> None:
        """Called once the effect of the records is confirmed, before they are acknowledged."""
        ...


class Lease(Protocol):
    """The right to act on a batch: it ends when the partitions of the batch may belong to another worker."""

    def check(self) -> None:
        """Raise `LeaseLostError` when the batch must be dropped unacknowledged."""
        ...


class LeaseLostError(Exception):
    """The batch belongs to somebody else now; drop it, acknowledge nothing."""
