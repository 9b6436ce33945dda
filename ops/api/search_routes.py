"""The searches: hybrid, by meaning, by words."""

from decimal import Decimal
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from ops.api.operation import Call, Operation, Reply, Scope, Success
from ops.api.problems import ProblemType, unavailable
from ops.index_age import Age
from ops.query_vectors import SearchBusyError
from ops.search import SearchService
from schemas.errors import EmbeddingError
from schemas.ranking import DEPTH
from schemas.search import FacetField, Filters, SearchAnswer, SearchMode, SearchQuery

AGE_HEADER = "X-Lockstep-Age-Seconds"
_AGE_MEANING = (
    "Every change that Postgres had committed this many seconds ago is in the index. Absent while the broker or "
    "Postgres cannot be asked, and for the first seconds after the server's start."
)

_FACET = "|".join(FacetField)
_Value = Annotated[str, StringConstraints(min_length=1, max_length=200)]
# At most 15 digits: two such prices compare in Qdrant, as floats, just as they do exactly.
_Amount = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,12}(\.[0-9]{1,3})?$")]
_Facets = Annotated[str, StringConstraints(pattern=rf"^({_FACET})(,({_FACET})){{0,9}}$")]


class SearchParameters(BaseModel):
    """What a search asks for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    q: str = Field(min_length=1, max_length=1000, pattern=r"\S", description="What to look for.")
    limit: int = Field(default=10, ge=1, le=100, description="How many hits a page has.")
    offset: int = Field(
        default=0, ge=0, lt=DEPTH, description=f"How many hits to skip; a search reaches {DEPTH} hits deep, with limit."
    )
    color: _Value | None = Field(default=None, description="Exactly as in the catalogue, as for the next four.")
    department: _Value | None = None
    product_type: _Value | None = None
    product_group: _Value | None = None
    index_name: _Value | None = None
    price_min: _Amount | None = Field(default=None, description="Inclusive; a product without a price has none.")
    price_max: _Amount | None = Field(default=None, description="Inclusive.")
    fresh: bool = Field(
        default=False,
        description="Read each hit again in Postgres: only products that exist and meet the filters now, as they are.",
    )
    facets: _Facets | None = Field(
        default=None,
        description=f"Columns whose values to count, separated by commas: {', '.join(FacetField)}.",
        examples=["color,department"],
    )

    @model_validator(mode="after")
    def _possible(self) -> Self:
        # The bounds between parameters stand in the query's own models.
        try:
            self.query(SearchMode.HYBRID)
        except ValidationError as error:
            raise ValueError(error.errors()[0]["msg"].removeprefix("Value error, ")) from error
        return self

    def query(self, mode: SearchMode) -> SearchQuery:
        """The query without how it is shown."""
        filters = Filters(
            color=self.color,
            department=self.department,
            product_type=self.product_type,
            product_group=self.product_group,
            index_name=self.index_name,
            price_min=None if self.price_min is None else Decimal(self.price_min),
            price_max=None if self.price_max is None else Decimal(self.price_max),
        )
        return SearchQuery(text=self.q, mode=mode, filters=filters, limit=self.limit, offset=self.offset)

    @property
    def counted(self) -> tuple[FacetField, ...]:
        """The columns to count, each once."""
        return tuple(dict.fromkeys(FacetField(name) for name in (self.facets or "").split(",") if name))


def operations(service: SearchService, age: Age) -> tuple[Operation, ...]:
    """The three searches."""
    return (
        _operation(
            service,
            age,
            SearchMode.HYBRID,
            path="/search",
            name="search",
            summary="Search by meaning and by words",
        ),
        _operation(
            service,
            age,
            SearchMode.SEMANTIC,
            path="/search/semantic",
            name="searchSemantic",
            summary="Search by meaning",
        ),
        _operation(
            service,
            age,
            SearchMode.KEYWORD,
            path="/search/keyword",
            name="searchKeyword",
            summary="Search by words",
        ),
    )


def _operation(service: SearchService, age: Age, mode: SearchMode, *, path: str, name: str, summary: str) -> Operation:
    async def handle(call: Call[None, SearchParameters, None]) -> Reply:
        asked = call.query
        try:
            answer = await service.search(asked.query(mode), fresh=asked.fresh, facets=asked.counted)
        except SearchBusyError as error:
            raise unavailable(ProblemType.OVERLOADED, "too many searches wait for the model") from error
        except EmbeddingError as error:
            raise unavailable(ProblemType.SEARCH_UNAVAILABLE, "the model that embeds queries cannot run") from error
        seconds = age.seconds
        return Reply(body=answer, headers={} if seconds is None else {AGE_HEADER: f"{seconds:.1f}"})

    return Operation(
        method="GET",
        path=path,
        name=name,
        summary=summary,
        tag="search",
        scope=Scope.SEARCH,
        query_model=SearchParameters,
        handler=handle,
        successes=(
            Success(model=SearchAnswer, description="A page of hits, best first.", headers={AGE_HEADER: _AGE_MEANING}),
        ),
        problems=(ProblemType.SEARCH_UNAVAILABLE, ProblemType.CATALOGUE_UNAVAILABLE, ProblemType.OVERLOADED),
    )
