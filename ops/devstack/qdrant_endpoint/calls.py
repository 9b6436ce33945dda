"""A request as the routes see it, and what a route is."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import orjson
from pydantic import TypeAdapter, ValidationError

from ops.devstack.qdrant_endpoint.refusals import Refusal
from ops.devstack.qdrant_endpoint.store import Store

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request: the variable parts of its path, and its body."""

    path: Mapping[str, str]
    body: bytes

    @property
    def name(self) -> str:
        """The collection or alias it speaks of."""
        return self.path["name"]

    def read(self, form: TypeAdapter[T]) -> T:
        """The body as one of Qdrant's models. Raises a 400 `Refusal` that names the first thing wrong with it."""
        try:
            given = orjson.loads(self.body)
        except orjson.JSONDecodeError as error:
            raise Refusal(400, f"Format error in JSON body: {error}") from error
        try:
            return form.validate_python(given)
        except ValidationError as error:
            problem = error.errors(include_url=False, include_input=False, include_context=False)[0]
            place = ".".join(str(part) for part in problem["loc"])
            raise Refusal(400, f"Format error in JSON body: {place}: {problem['msg']}") from error


@dataclass(frozen=True, slots=True)
class Route:
    """A call that is served: `answer` gives the `result` of the response, or raises a `Refusal`."""

    method: str
    path: str
    answer: Callable[[Store, Call], Any]
