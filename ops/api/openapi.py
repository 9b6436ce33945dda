"""The OpenAPI 3.1 document, made of the operations' own models: what it says is what is enforced."""

from collections.abc import Iterable, Mapping
from http import HTTPStatus
from importlib.metadata import version
from typing import Any

from aiohttp import hdrs
from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from ops.api.boundary import REQUEST_ID_HEADER
from ops.api.operation import JSON, Operation, Success
from ops.api.problems import PROBLEM_JSON, Problem, ProblemType

Json = dict[str, Any]
Schemas = Mapping[tuple[Any, JsonSchemaMode], Json]

SCHEME = "token"

_ABOUT = (
    "The catalogue in Postgres, the search index that follows it, and how far it is behind. "
    f"Errors are problem documents (RFC 9457); their types are explained at `{ProblemType.INVALID.uri.split('#')[0]}`."
)
_TOKEN = (
    "Made by `lockstep tokens create`, for one or more of the scopes `search`, `write` and `operate`. While no token "
    "exists, the server listens on a loopback address only and asks for none."
)
_ANY = (ProblemType.UNREADABLE, ProblemType.WRONG_HOST, ProblemType.WRONG_ORIGIN, ProblemType.INVALID)
_WITH_SCOPE = (
    ProblemType.NO_TOKEN,
    ProblemType.WRONG_SCOPE,
    ProblemType.TOO_MANY_REQUESTS,
    ProblemType.OVERLOADED,
    ProblemType.TIME_LIMIT,
)
_WITH_BODY = (ProblemType.SLOW_REQUEST, ProblemType.TOO_LARGE, ProblemType.WRONG_TYPE)
_PROBLEM_HEADERS: Mapping[int, Mapping[str, str]] = {
    401: {hdrs.WWW_AUTHENTICATE: "The scheme to use: `Bearer`."},
    429: {hdrs.RETRY_AFTER: "Seconds to wait."},
    503: {hdrs.RETRY_AFTER: "Seconds to wait."},
}


def describe(operations: Iterable[Operation]) -> Json:
    """The document, ready for JSON."""
    operations = tuple(operations)
    schemas, components = _schemas(operations)
    paths: dict[str, Json] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation, schemas, components)
    # Parameters stand beside their operation, so that few need their model as a whole.
    used = _used(paths, components)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Lockstep", "version": version("lockstep"), "description": _ABOUT},
        "tags": [{"name": tag} for tag in dict.fromkeys(operation.tag for operation in operations)],
        "paths": paths,
        "components": {
            "schemas": {name: schema for name, schema in components.items() if name in used},
            "securitySchemes": {SCHEME: {"type": "http", "scheme": "bearer", "description": _TOKEN}},
        },
    }


def problems_of(operation: Operation) -> tuple[ProblemType, ...]:
    """Every problem that a request for an operation may be answered with, by status."""
    found = {*operation.problems, *_ANY, ProblemType.INTERNAL}
    if operation.scope is not None:
        found.update(_WITH_SCOPE)
    if operation.path_model:
        found.add(ProblemType.NO_ROUTE)
    if operation.body_model:
        found.update(_WITH_BODY)
    return tuple(sorted(found, key=lambda problem: (problem.status, problem.slug)))


def _schemas(operations: Iterable[Operation]) -> tuple[Schemas, dict[str, Json]]:
    """The reference to each model's schema, and the schemas by name."""
    wanted: dict[tuple[type[BaseModel], JsonSchemaMode], None] = {(Problem, "serialization"): None}
    for operation in operations:
        models = [*_parameter_models(operation).values(), operation.body_model]
        wanted.update({(model, "validation"): None for model in models if model})
        wanted.update({(success.model, "serialization"): None for success in operation.successes if success.model})
    schemas, document = models_json_schema(list(wanted), ref_template="#/components/schemas/{model}")
    return schemas, document["$defs"]


def _operation(operation: Operation, schemas: Schemas, components: Mapping[str, Json]) -> Json:
    described: Json = {"operationId": operation.name, "summary": operation.summary, "tags": [operation.tag]}
    if operation.description:
        described["description"] = operation.description
    described["parameters"] = [
        parameter
        for place, model in _parameter_models(operation).items()
        for parameter in _parameters(place, components[_name(schemas[model, "validation"])])
    ]
    if operation.body_model:
        schema = schemas[operation.body_model, "validation"]
        described["requestBody"] = {
            "required": True,
            "content": {name: {"schema": schema} for name in operation.body_types},
        }
    described["responses"] = {
        **{str(success.status): _success(success, schemas) for success in operation.successes},
        **_problems(problems_of(operation), schemas),
    }
    described["security"] = [{SCHEME: [operation.scope.value]}] if operation.scope else []
    return described


def _parameter_models(operation: Operation) -> dict[str, type[BaseModel]]:
    models = {"path": operation.path_model, "query": operation.query_model, "header": operation.header_model}
    return {place: model for place, model in models.items() if model}


def _parameters(place: str, schema: Json) -> Iterable[Json]:
    required = schema.get("required", ())
    for name, field in schema.get("properties", {}).items():
        parameter = {"name": name, "in": place, "required": place == "path" or name in required}
        if "description" in field:
            parameter["description"] = field["description"]
        yield parameter | {"schema": _present({key: value for key, value in field.items() if key != "description"})}


def _present(schema: Json) -> Json:
    """The schema of a parameter that is there: it holds a value; to leave it out is not to send null."""
    choices: list[Json] = [choice for choice in schema.get("anyOf", ()) if choice.get("type") != "null"]
    kept = {key: value for key, value in schema.items() if key != "anyOf" and (key, value) != ("default", None)}
    match choices:
        case []:
            return kept
        case [only]:
            return only | kept
        case _:
            return {"anyOf": choices} | kept


def _success(success: Success, schemas: Schemas) -> Json:
    described: Json = {"description": success.description, "headers": _headers(success.headers)}
    if success.model:
        described["content"] = {JSON: {"schema": schemas[success.model, "serialization"]}}
    return described


def _problems(types: Iterable[ProblemType], schemas: Schemas) -> dict[str, Json]:
    by_status: dict[int, list[ProblemType]] = {}
    for each in types:
        by_status.setdefault(each.status, []).append(each)
    return {
        str(status): {
            "description": f"{HTTPStatus(status).phrase}: {', '.join(f'`{each.slug}`' for each in found)}.",
            "headers": _headers(_PROBLEM_HEADERS.get(status, {})),
            "content": {
                PROBLEM_JSON: {
                    "schema": schemas[Problem, "serialization"]
                    | {"properties": {"type": {"enum": [each.uri for each in found]}}}
                }
            },
        }
        for status, found in by_status.items()
    }


def _headers(descriptions: Mapping[str, str]) -> Json:
    every = {**descriptions, REQUEST_ID_HEADER: "This request's id, as in the log."}
    return {str(name): {"description": text, "schema": {"type": "string"}} for name, text in every.items()}


def _used(value: Any, components: Mapping[str, Json]) -> set[str]:
    """The names of the schemas that a value refers to, by way of others too."""
    found: set[str] = set()
    waiting = [value]
    while waiting:
        match waiting.pop():
            case dict() as each:
                if "$ref" in each and (name := _name(each)) not in found:
                    found.add(name)
                    waiting.append(components[name])
                waiting.extend(each.values())
            case list() as each:
                waiting.extend(each)
    return found


def _name(reference: Json) -> str:
    return str(reference["$ref"]).rpartition("/")[2]
