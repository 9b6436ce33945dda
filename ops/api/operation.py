"""One operation of the API as a value: what OpenAPI says of it is what is enforced, from the same models."""

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Generic, TypeVar

from pydantic import BaseModel

from ops.api.problems import ProblemType

Path = TypeVar("Path")
Query = TypeVar("Query")
Body = TypeVar("Body")

LOCAL_CALLER = "local"
"""Who calls when no token exists: whoever reaches the loopback address."""

JSON = "application/json"


class Scope(StrEnum):
    """What a token allows."""

    SEARCH = "search"
    WRITE = "write"
    OPERATE = "operate"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(Generic[Path, Query, Body]):
    """A validated request: `path`, `query` and `body` are instances of the operation's models, None where it has none.

    `headers` may be asked in any case; those in the operation's `header_model` have been validated. `caller` is the
    token's name, or `LOCAL_CALLER`.
    """

    path: Path
    query: Query
    body: Body
    headers: Mapping[str, str]
    caller: str
    request_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A successful answer: its status and headers are among those that the operation's `successes` declare.

    `body` is serialized by pydantic, by alias; None sends no body.
    """

    status: int = 200
    body: BaseModel | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Success:
    """One documented success; `headers` maps a header's name to what it says, `model` None means no body."""

    description: str
    status: int = 200
    model: type[BaseModel] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


Handler = Callable[[Call[Any, Any, Any]], Coroutine[Any, Any, Reply]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One operation: `path` as OpenAPI writes it (`/products/{article_id}`), `name` its operationId.

    `scope` None is open to all. A list in `query_model` is a parameter given several times (`color=Black&color=Red`).
    The fields of `header_model` carry the header's name as alias (`If-Match`). `problems` are those that this operation
    itself can answer; those that any can (validation, access, limits, failures) are added where they apply.
    """

    method: str
    path: str
    name: str
    summary: str
    tag: str
    scope: Scope | None
    handler: Handler
    successes: tuple[Success, ...]
    description: str = ""
    path_model: type[BaseModel] | None = None
    query_model: type[BaseModel] | None = None
    header_model: type[BaseModel] | None = None
    body_model: type[BaseModel] | None = None
    body_types: tuple[str, ...] = (JSON,)
    problems: tuple[ProblemType, ...] = ()

    def __post_init__(self) -> None:
        """Refuse, at start, a model that would let an unknown parameter or field pass."""
        for model in (self.query_model, self.body_model):
            if model and model.model_config.get("extra") != "forbid":
                raise TypeError(f"{model.__name__} of operation {self.name} must forbid extra fields")
