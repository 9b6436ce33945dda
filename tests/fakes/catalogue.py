"""The catalogue in memory, with what `connectors.postgres_catalogue.Catalogue` promises of versions."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from connectors.postgres import ProductDraft, UnreadableRowError
from connectors.postgres_catalogue import Page, Refusal, Versions, Written
from schemas.errors import SourceError
from schemas.product import Product

BEGINNING = datetime(2026, 11, 20, 10, tzinfo=UTC)


class InMemoryCatalogue:
    """`fault`, when set, is what every call raises; `unreadable` are rows that exist and cannot be read."""

    def __init__(self) -> None:
        self.rows: dict[str, Product] = {}
        self.unreadable: dict[str, str] = {}
        self.fault: SourceError | None = None
        self._writes = 0

    async def get(self, article_id: str) -> Product | None:
        self._check(article_id)
        return self.rows.get(article_id)

    async def page(self, *, after: str = "", limit: int) -> Page:
        self._check()
        keys = sorted((key for key in {*self.rows, *self.unreadable} if key.encode() > after.encode()), key=str.encode)
        here = keys[:limit]
        return Page(
            products=[self.rows[key] for key in here if key in self.rows],
            unreadable=[UnreadableRowError(key, self.unreadable[key]) for key in here if key in self.unreadable],
            after=here[-1] if len(keys) > limit else None,
        )

    async def create(self, draft: ProductDraft) -> Written | Refusal:
        self._check()
        if draft.article_id in self.rows:
            return Refusal.EXISTS
        now = self._now()
        self.rows[draft.article_id] = Product(id=self._writes, created_at=now, updated_at=now, **asdict(draft))
        return Written(product=self.rows[draft.article_id], created=True)

    async def put(self, draft: ProductDraft) -> Written:
        created = await self.create(draft)
        if isinstance(created, Written):
            return created
        updated = await self.update(draft.article_id, asdict(draft))
        assert isinstance(updated, Written)
        return updated

    async def update(
        self, article_id: str, values: Mapping[str, Any], *, versions: Versions = None
    ) -> Written | Refusal:
        self._check(article_id)
        if (row := self.rows.get(article_id)) is None:
            return Refusal.MISSING
        if versions is not None and row.updated_at not in versions:
            return Refusal.CHANGED
        if any(getattr(row, column) != value for column, value in values.items()):
            row = self.rows[article_id] = replace(row, **values, updated_at=self._now())
        return Written(product=row)

    async def delete(self, article_id: str, *, versions: Versions = None) -> Refusal | None:
        self._check()
        if (row := self.rows.get(article_id)) is None:
            return Refusal.MISSING
        if versions is not None and row.updated_at not in versions:
            return Refusal.CHANGED
        del self.rows[article_id]
        return None

    def _check(self, article_id: str | None = None) -> None:
        if self.fault:
            raise self.fault
        if article_id in self.unreadable:
            raise UnreadableRowError(article_id, self.unreadable[article_id])

    def _now(self) -> datetime:
        self._writes += 1
        return BEGINNING + timedelta(microseconds=self._writes)
