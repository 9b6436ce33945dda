"""Every problem that the API answers with: its type, which the documentation explains, and its document (RFC 9457)."""

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from schemas.errors import BrokerError, ErrorKind, LockstepError, SourceError, VectorStoreError

PROBLEM_JSON = "application/problem+json"
PROBLEMS_PAGE = "/docs/problems"
RETRY_AFTER_SECONDS = 5
"""What a caller is told to wait while a part is away: the pools and clients have tried to reach it again by then."""


class ProblemType(Enum):
    """A kind of problem: its slug, its status, its title, and what it means to the caller.

    `docs/api.md` and the page `/docs/problems` list them all.
    """

    slug: str
    status: int
    title: str
    meaning: str

    UNREADABLE = (
        "unreadable",
        400,
        "The request cannot be read",
        "The body is no JSON or broke off, or something in the request is no UTF-8.",
    )
    NO_TOKEN = ("no-token", 401, "A token is needed", "Send `Authorization: Bearer <token>` with a token that exists.")
    WRONG_SCOPE = ("wrong-scope", 403, "The token does not allow this", "The operation needs a scope the token lacks.")
    WRONG_HOST = (
        "wrong-host",
        403,
        "The request is meant for another host",
        "While no tokens exist, only `localhost`, a loopback address and the name the server is bound to are answered.",
    )
    WRONG_ORIGIN = (
        "wrong-origin",
        403,
        "Pages of this origin may not call",
        "While no tokens exist, a browser may call only from this server's own pages, or `LOCKSTEP_API_CORS_ORIGINS`.",
    )
    NO_ROUTE = ("no-route", 404, "Nothing is at this address", "`/openapi.json` lists what there is.")
    NO_PRODUCT = ("no-product", 404, "There is no such product", "No row of the catalogue has this article id.")
    NO_JOB = ("no-job", 404, "There is no such job", "A server remembers its last 20 jobs, until it stops.")
    NO_DEAD_LETTER = (
        "no-dead-letter",
        404,
        "There is no such open dead letter",
        "It was resolved meanwhile, or never was one: `GET /dead-letters` lists those that are open.",
    )
    WRONG_METHOD = ("wrong-method", 405, "The method is not allowed here", "The header `Allow` lists those that are.")
    SLOW_REQUEST = ("slow-request", 408, "The request did not arrive in time", "Send the body faster, or less of it.")
    DUPLICATE = ("duplicate", 409, "The product exists already", "Change it with `PUT` or `PATCH` instead.")
    BUSY_JOB = ("busy-job", 409, "Such a job runs already", "`Location` names it: ask for its progress there.")
    CANNOT_RETRY = (
        "cannot-retry",
        409,
        "The dead letter cannot be retried",
        "It names no row to read again, or is being retried, or too many are: `detail` says which.",
    )
    UNREADABLE_ROW = (
        "unreadable-row",
        409,
        "The row cannot be shown",
        "It holds what no answer can: a price of NaN, a time of infinity. `PUT` replaces it, or mend it in Postgres.",
    )
    CHANGED_MEANWHILE = (
        "changed-meanwhile",
        412,
        "The product is not the one you read",
        "`If-Match` names another state than the present one: read the product again, then repeat the change.",
    )
    TOO_LARGE = ("too-large", 413, "The request is too large", "`LOCKSTEP_API_REQUEST_BYTES` bounds a body.")
    WRONG_TYPE = (
        "wrong-type",
        415,
        "The body has the wrong type",
        "Send JSON with the content type the operation names.",
    )
    INVALID = (
        "invalid",
        422,
        "The request does not say what it must",
        "`errors` lists each parameter or field that is missing, unknown or out of bounds.",
    )
    INVALID_CURSOR = (
        "invalid-cursor",
        422,
        "The page token does not fit",
        "Use a token only with the query it came from.",
    )
    REFUSED_BY_DATABASE = (
        "refused-by-database",
        422,
        "Postgres refuses the row",
        "A constraint or a trigger that the table was given does not allow it; `detail` names it.",
    )
    TOO_MANY_REQUESTS = (
        "too-many-requests",
        429,
        "Too many requests",
        "Wait for the seconds that `Retry-After` names.",
    )
    INTERNAL = ("internal", 500, "The server failed", "The log has the reason under the request's id.")
    CATALOGUE_UNAVAILABLE = (
        "catalogue-unavailable",
        503,
        "The catalogue cannot be reached",
        "Postgres is away. Try again after the seconds that `Retry-After` names.",
    )
    SEARCH_UNAVAILABLE = (
        "search-unavailable",
        503,
        "The search index cannot be reached",
        "Qdrant is away. The catalogue works meanwhile. Try again after the seconds that `Retry-After` names.",
    )
    BROKER_UNAVAILABLE = (
        "broker-unavailable",
        503,
        "The broker cannot be reached",
        "Kafka is away. The catalogue and the search work meanwhile. Try again after the seconds of `Retry-After`.",
    )
    OVERLOADED = (
        "overloaded",
        503,
        "The server is busy, or stopping",
        "It answers as many requests at once as `LOCKSTEP_API_CONCURRENCY` says. Try again after `Retry-After`.",
    )
    NOT_READY = ("not-ready", 503, "A part is down", "`errors` names each part that does not answer, and why.")
    TIME_LIMIT = (
        "time-limit",
        504,
        "The answer took too long",
        "`LOCKSTEP_API_REQUEST_SECONDS` bounds it. A write may have been done all the same: read before you repeat it.",
    )

    def __init__(self, slug: str, status: int, title: str, meaning: str) -> None:
        self.slug = slug
        self.status = status
        self.title = title
        self.meaning = meaning

    @property
    def uri(self) -> str:
        """The problem's `type`: a relative reference to its explanation."""
        return f"{PROBLEMS_PAGE}#{self.slug}"


class ProblemPart(BaseModel):
    """One thing that is wrong: where it stands, its name there (`price`, `filters.0`), and what is wrong with it."""

    model_config = ConfigDict(frozen=True)

    location: Literal["path", "query", "header", "body", "part"]
    name: str
    detail: str


class Problem(BaseModel):
    """A problem document (RFC 9457)."""

    model_config = ConfigDict(frozen=True)

    type: str = Field(description="Where the kind of problem is explained.", examples=[ProblemType.INVALID.uri])
    title: str = Field(description="The kind of problem, the same for each of its type.")
    status: int = Field(description="The HTTP status.", ge=400, le=599)
    detail: str = Field(description="What is wrong with this request.")
    instance: str = Field(description="The path that was asked for.")
    request_id: str = Field(description="This request, by the name that the header `X-Request-Id` and the log give it.")
    errors: list[ProblemPart] = Field(default=[], description="Each thing that is wrong, where there are several.")


class ProblemError(Exception):
    """Ends a request with a problem; `detail` is a sentence for the caller and holds no secret."""

    def __init__(
        self,
        type_: ProblemType,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        errors: Sequence[ProblemPart] = (),
    ) -> None:
        super().__init__(detail)
        self.type = type_
        self.detail = detail
        self.headers = dict(headers or {})
        self.errors = list(errors)

    def document(self, *, instance: str, request_id: str) -> Problem:
        """What the caller reads."""
        return Problem(
            type=self.type.uri,
            title=self.type.title,
            status=self.type.status,
            detail=self.detail,
            instance=instance,
            request_id=request_id,
            errors=self.errors,
        )


def unavailable(type_: ProblemType, detail: str) -> ProblemError:
    """The problem of something that is away for a while: the caller is told when to try again."""
    return ProblemError(type_, detail, headers={"Retry-After": str(RETRY_AFTER_SECONDS)})


def problem_of(error: LockstepError) -> ProblemError | None:
    """The problem that an error of ours is to the caller; None when it is our own failure."""
    if error.kind is ErrorKind.PERMANENT:
        return None
    match error:
        case SourceError():
            return unavailable(ProblemType.CATALOGUE_UNAVAILABLE, "the catalogue's database does not answer")
        case VectorStoreError():
            return unavailable(ProblemType.SEARCH_UNAVAILABLE, "the search index does not answer")
        case BrokerError():
            return unavailable(ProblemType.BROKER_UNAVAILABLE, "the broker does not answer")
        case _:
            return None
