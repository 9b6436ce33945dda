"""The catalogue over HTTP: pure Postgres, so that it works while the index and the broker are away.

`PUT` creates a product that does not exist: unlike `POST` it may be repeated after an answer that got lost.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NoReturn
from urllib.parse import quote, urlencode

from aiohttp import hdrs
from pydantic import BaseModel, ConfigDict, Field

from connectors.postgres import ProductDraft, UnreadableRowError
from connectors.postgres_catalogue import Catalogue, Refusal, Written
from ops.api.operation import JSON, Call, Operation, Reply, Scope, Success
from ops.api.page_token import MAX_LENGTH, page_token, position_of
from ops.api.preconditions import IfMatch, IfMatchOrNone, etag, wanted_versions
from ops.api.problems import ProblemError, ProblemType
from schemas.errors import ErrorKind, SourceError
from schemas.product import Product
from schemas.product_body import (
    ArticleId,
    NewProduct,
    ProductBody,
    ProductFields,
    ProductPage,
    ProductPatch,
    UnreadableRow,
)

MERGE_PATCH_JSON = "application/merge-patch+json"
MAX_PAGE = 200

_COLLECTION = "/products"
_ONE = "/products/{article_id}"
_TAG = "catalogue"
_LIST = "listProducts"
_ETAG: dict[str, str] = {hdrs.ETAG: "The product's version, for `If-Match`."}
_LOCATION: dict[str, str] = {hdrs.LOCATION: "The product's address."}
_OF_WRITES = (ProblemType.REFUSED_BY_DATABASE, ProblemType.CATALOGUE_UNAVAILABLE)


class ProductPath(BaseModel):
    """Which product; a slash in its key is written `%2F`."""

    model_config = ConfigDict(frozen=True)

    article_id: ArticleId


class PageQuery(BaseModel):
    """Which page of the catalogue."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    limit: int = Field(default=50, ge=1, le=MAX_PAGE, description="Rows a page.")
    after: str | None = Field(
        default=None,
        max_length=MAX_LENGTH,
        pattern="^[A-Za-z0-9_-]+$",
        description="`next` of the page before; left out: the first page.",
    )


def operations(catalogue: Catalogue) -> tuple[Operation, ...]:
    """The catalogue's operations."""
    routes = _Routes(catalogue)
    return (
        Operation(
            method=hdrs.METH_POST,
            path=_COLLECTION,
            name="createProduct",
            summary="Create a product",
            tag=_TAG,
            scope=Scope.WRITE,
            handler=routes.create,
            body_model=NewProduct,
            successes=(
                Success(status=201, model=ProductBody, description="It was created.", headers=_LOCATION | _ETAG),
            ),
            problems=(ProblemType.DUPLICATE, *_OF_WRITES),
        ),
        Operation(
            method=hdrs.METH_GET,
            path=_COLLECTION,
            name=_LIST,
            summary="List the products",
            description="In bytewise order of their keys. Each page shows the rows of the moment it is read.",
            tag=_TAG,
            scope=Scope.SEARCH,
            handler=routes.list,
            query_model=PageQuery,
            successes=(
                Success(
                    model=ProductPage,
                    description="A page.",
                    headers={hdrs.LINK: "The next page, as `rel=next`; left out on the last."},
                ),
            ),
            problems=(ProblemType.INVALID_CURSOR, ProblemType.CATALOGUE_UNAVAILABLE),
        ),
        Operation(
            method=hdrs.METH_GET,
            path=_ONE,
            name="getProduct",
            summary="Read a product",
            description="As it is in Postgres now.",
            tag=_TAG,
            scope=Scope.SEARCH,
            handler=routes.get,
            path_model=ProductPath,
            successes=(Success(model=ProductBody, description="The product.", headers=_ETAG),),
            problems=(ProblemType.NO_PRODUCT, ProblemType.UNREADABLE_ROW, ProblemType.CATALOGUE_UNAVAILABLE),
        ),
        Operation(
            method=hdrs.METH_PUT,
            path=_ONE,
            name="putProduct",
            summary="Replace or create a product",
            description="A field that is left out becomes null. A write that changes nothing leaves `ETag` as it is.",
            tag=_TAG,
            scope=Scope.WRITE,
            handler=routes.put,
            path_model=ProductPath,
            header_model=IfMatchOrNone,
            body_model=ProductFields,
            successes=(
                Success(model=ProductBody, description="It was replaced.", headers=_ETAG),
                Success(status=201, model=ProductBody, description="It was created.", headers=_LOCATION | _ETAG),
            ),
            problems=(ProblemType.CHANGED_MEANWHILE, ProblemType.UNREADABLE_ROW, *_OF_WRITES),
        ),
        Operation(
            method=hdrs.METH_PATCH,
            path=_ONE,
            name="patchProduct",
            summary="Change some fields of a product",
            description="A JSON merge patch: null empties a field, a field left out stays as it is.",
            tag=_TAG,
            scope=Scope.WRITE,
            handler=routes.patch,
            path_model=ProductPath,
            header_model=IfMatch,
            body_model=ProductPatch,
            body_types=(MERGE_PATCH_JSON, JSON),
            successes=(Success(model=ProductBody, description="The product as it is now.", headers=_ETAG),),
            problems=(
                ProblemType.NO_PRODUCT,
                ProblemType.CHANGED_MEANWHILE,
                ProblemType.UNREADABLE_ROW,
                *_OF_WRITES,
            ),
        ),
        Operation(
            method=hdrs.METH_DELETE,
            path=_ONE,
            name="deleteProduct",
            summary="Delete a product",
            tag=_TAG,
            scope=Scope.WRITE,
            handler=routes.delete,
            path_model=ProductPath,
            header_model=IfMatch,
            successes=(Success(status=204, description="It is gone."),),
            problems=(ProblemType.NO_PRODUCT, ProblemType.CHANGED_MEANWHILE, *_OF_WRITES),
        ),
    )


class _Routes:
    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    async def create(self, call: Call[None, None, NewProduct]) -> Reply:
        with _problems_of_rows():
            written = await self._catalogue.create(_draft(call.body.article_id, call.body))
        if isinstance(written, Refusal):
            raise ProblemError(
                ProblemType.DUPLICATE,
                "a product with this article_id exists",
                headers={hdrs.LOCATION: _location(call.body.article_id)},
            )
        return _written(written)

    async def list(self, call: Call[None, PageQuery, None]) -> Reply:
        query = call.query
        after = "" if query.after is None else position_of(_LIST, query.after)
        page = await self._catalogue.page(after=after, limit=query.limit)
        token = None if page.after is None else page_token(_LIST, page.after)
        body = ProductPage(
            items=[ProductBody.of(product) for product in page.products],
            unreadable=[UnreadableRow(article_id=row.article_id, reason=row.reason) for row in page.unreadable],
            next=token,
        )
        if token is None:
            return Reply(body=body)
        following = f"{_COLLECTION}?{urlencode({'limit': query.limit, 'after': token})}"
        return Reply(body=body, headers={hdrs.LINK: f'<{following}>; rel="next"'})

    async def get(self, call: Call[ProductPath, None, None]) -> Reply:
        with _problems_of_rows():
            product = await self._catalogue.get(call.path.article_id)
        if product is None:
            _refuse(Refusal.MISSING)
        return _reply(product)

    async def put(self, call: Call[ProductPath, None, ProductFields]) -> Reply:
        draft = _draft(call.path.article_id, call.body)
        with _problems_of_rows():
            written = await self._put(draft, call)
        if isinstance(written, Refusal):
            _fail_condition(written)
        return _written(written)

    async def _put(self, draft: ProductDraft, call: Call[ProductPath, None, ProductFields]) -> Written | Refusal:
        if_match = call.headers.get(hdrs.IF_MATCH)
        if hdrs.IF_NONE_MATCH in call.headers:
            # Both conditions at once never hold.
            return await self._catalogue.create(draft) if if_match is None else Refusal.CHANGED
        if if_match is None:
            return await self._catalogue.put(draft)
        versions = wanted_versions(if_match)
        return await self._catalogue.update(draft.article_id, call.body.model_dump(), versions=versions)

    async def patch(self, call: Call[ProductPath, None, ProductPatch]) -> Reply:
        versions = wanted_versions(call.headers.get(hdrs.IF_MATCH))
        with _problems_of_rows():
            written = await self._catalogue.update(call.path.article_id, call.body.changes(), versions=versions)
        if isinstance(written, Refusal):
            _refuse(written)
        return _written(written)

    async def delete(self, call: Call[ProductPath, None, None]) -> Reply:
        versions = wanted_versions(call.headers.get(hdrs.IF_MATCH))
        with _problems_of_rows():
            refusal = await self._catalogue.delete(call.path.article_id, versions=versions)
        if refusal is not None:
            _refuse(refusal)
        return Reply(status=204)


def _draft(article_id: str, fields: ProductFields) -> ProductDraft:
    values: dict[str, Any] = {name: getattr(fields, name) for name in ProductFields.model_fields}
    return ProductDraft(article_id=article_id, **values)


def _location(article_id: str) -> str:
    return f"{_COLLECTION}/{quote(article_id, safe='')}"


def _reply(product: Product, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
    return Reply(status=status, body=ProductBody.of(product), headers={hdrs.ETAG: etag(product), **(headers or {})})


def _written(written: Written) -> Reply:
    if not written.created:
        return _reply(written.product)
    return _reply(written.product, status=201, headers={hdrs.LOCATION: _location(written.product.article_id)})


def _refuse(refusal: Refusal) -> NoReturn:
    if refusal is Refusal.MISSING:
        raise ProblemError(ProblemType.NO_PRODUCT, "there is no product with this article_id")
    _fail_condition(refusal)


def _fail_condition(refusal: Refusal) -> NoReturn:
    """A condition on a state that is not the present one; a `PUT` without it would not have failed (section 13.2.1)."""
    reasons = {
        Refusal.MISSING: "there is no such product, and If-Match asks for one",
        Refusal.EXISTS: "there is such a product, and If-None-Match asks for none",
        Refusal.CHANGED: "the product has another ETag than If-Match names",
    }
    raise ProblemError(ProblemType.CHANGED_MEANWHILE, reasons[refusal])


@contextmanager
def _problems_of_rows() -> Iterator[None]:
    """What concerns this one row is the caller's to know; an outage is for the boundary to tell."""
    try:
        yield
    except UnreadableRowError as error:
        raise ProblemError(ProblemType.UNREADABLE_ROW, f"the row cannot be shown: {error.reason}") from error
    except SourceError as error:
        if error.kind is not ErrorKind.PERMANENT:
            raise
        raise ProblemError(ProblemType.REFUSED_BY_DATABASE, str(error)) from error
