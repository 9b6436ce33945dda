"""Reads what a request says into an operation's models, and refuses whatever they do not know."""

import asyncio
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote

from aiohttp import ClientPayloadError, web
from aiohttp.http_exceptions import HttpProcessingError
from pydantic import BaseModel, ValidationError

from ops.api.operation import Operation
from ops.api.problems import ProblemError, ProblemPart, ProblemType

MOST_FAULTS = 50
"""So many are named. A body may hold a hundred thousand, and the server would do nothing else for seconds."""

_UNKNOWN = "is unknown here"
_NUL = "\0"  # Postgres stores none in a text


class RequestReader:
    """Reads the requests of one operation. Every method raises `ProblemError` for what cannot be right."""

    def __init__(self, operation: Operation) -> None:
        self._operation = operation
        self._lists = _list_parameters(operation.query_model)

    def path(self, request: web.Request) -> BaseModel | None:
        """The variable parts of the path."""
        try:
            unquote(request.rel_url.raw_path, errors="strict").encode()
        except UnicodeError as error:
            raise ProblemError(ProblemType.UNREADABLE, "the path is not UTF-8") from error
        return _validated(self._operation.path_model, dict(request.match_info), "path")

    def query(self, request: web.Request) -> BaseModel | None:
        """The parameters after the question mark; an unknown one, or one given twice that is no list, is refused."""
        try:
            pairs = parse_qsl(request.rel_url.raw_query_string, keep_blank_values=True, errors="strict")
            request.rel_url.raw_query_string.encode()
        except UnicodeError as error:
            raise ProblemError(ProblemType.UNREADABLE, "the query is not UTF-8") from error
        given: dict[str, Any] = {}
        for name, value in pairs:
            if name in self._lists:
                given.setdefault(name, []).append(value)
            elif name in given:
                raise _invalid([ProblemPart(location="query", name=name, detail="is given more than once")])
            else:
                given[name] = value
        return _validated(self._operation.query_model, given, "query")

    def headers(self, request: web.Request) -> Mapping[str, str]:
        """The headers: those that the operation knows have been checked, and are one line each however they came."""
        headers = request.headers.copy()
        if model := self._operation.header_model:
            names = [field.alias or name for name, field in model.model_fields.items()]
            given = {name: ", ".join(headers.getall(name)) for name in names if name in headers}
            _validated(model, given, "header")
            headers.update(given)
        return headers

    async def body(self, request: web.Request, *, within_seconds: float) -> BaseModel | None:
        """The body, which must have arrived whole in time."""
        model = self._operation.body_model
        if model is None:
            return None
        self._check_type(request)
        try:
            async with asyncio.timeout(within_seconds):
                raw = await request.read()
        except TimeoutError as error:
            raise ProblemError(
                ProblemType.SLOW_REQUEST,
                f"the body did not arrive within {within_seconds:g} seconds",
                headers={"Connection": "close"},
            ) from error
        except (ConnectionError, ClientPayloadError, HttpProcessingError) as error:
            # Nobody may be left to read this; the log has one line of it, as of any request.
            raise ProblemError(ProblemType.UNREADABLE, "the body broke off") from error
        try:
            return model.model_validate_json(raw)
        except ValidationError as error:
            raise _problem_of(error, "body") from error

    def _check_type(self, request: web.Request) -> None:
        wanted = self._operation.body_types
        if request.content_type not in wanted or (request.charset or "utf-8").lower() not in ("utf-8", "utf8"):
            raise ProblemError(ProblemType.WRONG_TYPE, f"the body must be {' or '.join(wanted)} in UTF-8")
        if request.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise ProblemError(ProblemType.WRONG_TYPE, "the body must not be compressed")


def _list_parameters(model: type[BaseModel] | None) -> frozenset[str]:
    """Those of the query's parameters that may be given several times."""
    properties: dict[str, Any] = {} if model is None else model.model_json_schema()["properties"]
    return frozenset(
        name
        for name, schema in properties.items()
        if any(choice.get("type") == "array" for choice in (schema, *schema.get("anyOf", ())))
    )


def _validated(model: type[BaseModel] | None, given: Mapping[str, Any], location: Any) -> BaseModel | None:
    nul = [name for name, value in given.items() if _NUL in name or any(_NUL in text for text in value)]
    if nul:
        raise _invalid([ProblemPart(location=location, name=name, detail="must not hold NUL") for name in nul])
    if model is None:
        if given:
            raise _invalid([ProblemPart(location=location, name=name, detail=_UNKNOWN) for name in given])
        return None
    try:
        return model.model_validate(given)
    except ValidationError as error:
        raise _problem_of(error, location) from error


def _problem_of(error: ValidationError, location: Any) -> ProblemError:
    """What pydantic says, without the input: a log or a page may show an answer."""
    found = error.errors(include_url=False, include_input=False, include_context=False)
    if found[0]["type"] == "json_invalid":
        return ProblemError(ProblemType.UNREADABLE, found[0]["msg"])
    return _invalid(
        [
            ProblemPart(
                location=location,
                name=".".join(str(part) for part in each["loc"]),
                detail=_UNKNOWN if each["type"] == "extra_forbidden" else each["msg"].removeprefix("Value error, "),
            )
            for each in found[:MOST_FAULTS]
        ],
        more=len(found[MOST_FAULTS:]),
    )


def _invalid(parts: list[ProblemPart], *, more: int = 0) -> ProblemError:
    names = ", ".join(part.name or part.location for part in parts) + (f", and {more} more" if more else "")
    return ProblemError(ProblemType.INVALID, f"{parts[0].location} is not valid: {names}", errors=parts)
