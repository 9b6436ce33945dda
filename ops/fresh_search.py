"""A search that Postgres confirms: what the index offers, less what the rows no longer bear out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from connectors.postgres import UnreadableRowError
from schemas.product import Product
from schemas.ranking import Candidate, Halves
from schemas.search import Filters

ROUNDS = 5
"""How often the index is asked for more in the place of what fell away."""


class Rows(Protocol):
    """The catalogue, as a fresh search reads it."""

    async def fetch_rows(
        self, article_ids: Sequence[str], unreadable: list[UnreadableRowError] | None = None
    ) -> Mapping[str, Product]:
        """Those of the rows that exist and can be read, by key, of one moment."""
        ...


class FindHalves(Protocol):
    """Asks the index for both halves of one search."""

    async def __call__(self, *, without: frozenset[str]) -> Halves:
        """The first points of each half less those in `without`, with their keys."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmed:
    """The candidates that the rows bear out, in order, and the row of each."""

    candidates: list[Candidate]
    rows: Mapping[str, Product]
    complete: bool
    """Whether the order is that of an index without the rejected points; else points beyond it were not looked at."""


async def confirm(find: FindHalves, rows: Rows, filters: Filters) -> Confirmed:
    """Check every candidate against its row, and ask for others in the place of those that fall away.

    The order is the one that the index would give if the rejected points were not in it. All candidates are checked,
    whatever page is wanted, so that every page cuts the same order. Gone, and so rejected, is also a row that cannot
    be read: its price could not be shown. At most five requests to the index and as many to Postgres.

    Raises:
        VectorStoreError: The index cannot be asked.
        SourceError: The rows cannot be read.
    """
    known: dict[str, Product] = {}
    rejected: frozenset[str] = frozenset()
    for _ in range(ROUNDS):
        halves = await find(without=rejected)
        candidates = halves.in_order()
        unread = [c.article_id for c in candidates if c.article_id is not None and c.article_id not in known]
        if unread:
            known |= await rows.fetch_rows(unread, [])
        stale = frozenset(candidate.point for candidate in candidates if not _borne_out(candidate, known, filters))
        complete = not stale or not halves.cut
        if complete:
            break
        rejected |= stale
    return Confirmed(candidates=halves.without(stale).in_order(), rows=known, complete=complete)


def _borne_out(candidate: Candidate, rows: Mapping[str, Product], filters: Filters) -> bool:
    row = rows.get(candidate.article_id) if candidate.article_id is not None else None
    return row is not None and filters.match(row)
