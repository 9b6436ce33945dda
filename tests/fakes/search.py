"""A search index in a dictionary, rows beside it that may have gone on, and a model that counts its texts."""

import asyncio
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field

from connectors.postgres import UnreadableRowError
from schemas import ranking
from schemas.collection import LiveCollection
from schemas.document import Vectors, point_id
from schemas.errors import LockstepError
from schemas.product import Product
from schemas.ranking import Candidate, Halves, RankedPoint
from schemas.recipe import Recipe
from schemas.search import FacetCount, FacetField, Filters, Hit, SearchMode, SearchQuery

VECTORS = Vectors(dense=[1.0], sparse_indices=[1], sparse_values=[1.0])


@dataclass(frozen=True, kw_only=True)
class IndexedProduct:
    """A point: the row as it was when it was indexed, and how near each half finds it (None: not at all)."""

    row: Product
    meaning: float
    words: float | None = None


def indexed_by_qdrant(filters: Filters, row: Product) -> bool:
    """What Qdrant does with a filter: prices are floats, and null meets no condition."""
    if any(getattr(row, name) != value for name, value in filters.values.items()):
        return False
    low, high = filters.price_min, filters.price_max
    if row.price is None:
        return low is None and high is None
    price = float(row.price)
    return (low is None or price >= float(low)) and (high is None or price <= float(high))


@dataclass
class FakeIndex:
    """Answers as Qdrant does; `error` is raised by every call."""

    products: Sequence[IndexedProduct] = ()
    live: LiveCollection = field(default_factory=lambda: LiveCollection(name="products-1", recipe=Recipe()))
    error: LockstepError | None = None
    asked: list[str] = field(default_factory=list)

    async def live_collection(self) -> LiveCollection:
        self._called("live_collection")
        return self.live

    async def halves(
        self,
        collection: str,
        query: SearchQuery,
        vectors: Vectors,
        *,
        without: Set[str] = frozenset(),
        with_keys: bool = False,
    ) -> Halves:
        self._called("halves")
        assert collection == self.live.name
        there = [
            product
            for product in self.products
            if point_id(product.row.article_id) not in without and indexed_by_qdrant(query.filters, product.row)
        ]
        by_meaning = [(product.meaning, product.row.article_id) for product in there]
        by_words = [(product.words, product.row.article_id) for product in there if product.words is not None]
        return Halves(
            semantic=None if query.mode is SearchMode.KEYWORD else _half(by_meaning, with_keys),
            keyword=None if query.mode is SearchMode.SEMANTIC else _half(by_words, with_keys),
        )

    async def hits(self, collection: str, candidates: Sequence[Candidate]) -> list[Hit]:
        self._called("hits")
        payloads = {point_id(product.row.article_id): product.row.payload() for product in self.products}
        return [Hit.of_payload(payloads[c.point], c.score, c.ranks) for c in candidates]

    async def facets(
        self, collection: str, fields: Sequence[FacetField], filters: Filters
    ) -> dict[FacetField, list[FacetCount]]:
        self._called("facets")
        return {name: [FacetCount(value="Black", count=len(self.products))] for name in fields}

    def _called(self, name: str) -> None:
        self.asked.append(name)
        if self.error:
            raise self.error


def _half(scores: list[tuple[float, str]], with_keys: bool) -> tuple[RankedPoint, ...]:
    points = [
        RankedPoint(point=point_id(key), score=score, article_id=key if with_keys else None) for score, key in scores
    ]
    return tuple(sorted(points, key=lambda ranked: (-ranked.score, ranked.point))[: ranking.DEPTH])


@dataclass
class FakeRows:
    """The catalogue now. A row in `unreadable` is there and cannot be read."""

    rows: Mapping[str, Product] = field(default_factory=dict)
    unreadable: Set[str] = frozenset()
    error: LockstepError | None = None
    asked: list[list[str]] = field(default_factory=list)

    async def fetch_rows(
        self, article_ids: Sequence[str], unreadable: list[UnreadableRowError] | None = None
    ) -> dict[str, Product]:
        if self.error:
            raise self.error
        self.asked.append(list(article_ids))
        assert unreadable is not None
        unreadable += [UnreadableRowError(key, "price is NaN") for key in article_ids if key in self.unreadable]
        return {key: self.rows[key] for key in article_ids if key in self.rows and key not in self.unreadable}


@dataclass
class FakeEmbedders:
    """Counts what it embeds; `hold` it to keep queries waiting, `error` is raised in the place of vectors."""

    embedded: list[tuple[str, str]] = field(default_factory=list)
    error: LockstepError | None = None
    go: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.go.set()

    def hold(self) -> None:
        self.go.clear()

    async def for_recipe(self, recipe: Recipe) -> "_FakeEmbedder":
        return _FakeEmbedder(self, recipe)


@dataclass
class _FakeEmbedder:
    embedders: FakeEmbedders
    recipe: Recipe

    async def embed_query(self, text: str) -> Vectors:
        self.embedders.embedded.append((self.recipe.recipe_id, text))
        await self.embedders.go.wait()
        if self.embedders.error:
            raise self.embedders.error
        return VECTORS
