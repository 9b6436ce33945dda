"""The pages at `/docs`: the OpenAPI document and the problem types for people, made on the server, without a script."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from ops.api.boundary import REQUEST_ID_HEADER
from ops.api.browsers import PAGE_POLICY
from ops.api.problems import PROBLEMS_PAGE, ProblemType

DOCS_PAGE = "/docs"

_HERE = Path(__file__).parent
_CODE = "`"
_BOUNDS = {
    "minimum": "≥ {}",
    "exclusiveMinimum": "> {}",
    "maximum": "≤ {}",
    "exclusiveMaximum": "< {}",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "minItems": "at least {} items",
    "maxItems": "at most {} items",
    "pattern": "matches {}",
    "default": "default {}",
}


def add_documentation(app: web.Application, document: Mapping[str, Any]) -> None:
    """Serve the pages; they are made once, here."""
    pages = Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    pages.filters |= {"kind": _kind, "bounds": _bounds, "codes": _codes}
    docs = pages.get_template("docs.html").render(
        info=document["info"],
        tags=[tag["name"] for tag in document["tags"]],
        access=[scheme["description"] for scheme in document["components"]["securitySchemes"].values()],
        operations=[
            _operation(method, path, operation)
            for path, methods in document["paths"].items()
            for method, operation in methods.items()
        ],
        schemas=[_schema(name, schema) for name, schema in document["components"]["schemas"].items()],
    )
    problems = pages.get_template("problems.html").render(problems=list(ProblemType))
    app.router.add_get(DOCS_PAGE, _page(docs, "text/html"))
    app.router.add_get(PROBLEMS_PAGE, _page(problems, "text/html"))
    app.router.add_get("/docs/docs.css", _page((_HERE / "static" / "docs.css").read_text(), "text/css"))


def _page(text: str, content_type: str) -> Handler:
    async def serve(_: web.Request) -> web.Response:
        headers = {"Content-Security-Policy": PAGE_POLICY, "Cache-Control": "no-cache"}
        return web.Response(text=text, content_type=content_type, headers=headers)

    return serve


def _operation(method: str, path: str, operation: Mapping[str, Any]) -> dict[str, Any]:
    scopes = [scope for need in operation["security"] for scopes in need.values() for scope in scopes]
    return {
        "id": operation["operationId"],
        "method": method.upper(),
        "path": path,
        "tag": operation["tags"][0],
        "summary": operation["summary"],
        "description": operation.get("description", ""),
        "scope": scopes[0] if scopes else None,
        "parameters": [
            _row(each["name"], each["schema"], each.get("description", ""), required=each["required"], place=each["in"])
            for each in operation["parameters"]
        ],
        "body": operation.get("requestBody", {}).get("content", {}),
        "answers": [
            {
                "status": status,
                "description": answer["description"],
                "schemas": []
                if int(status) >= 400
                else [body["schema"] for body in answer.get("content", {}).values()],
                "headers": {
                    name: h["description"] for name, h in answer["headers"].items() if name != REQUEST_ID_HEADER
                },
            }
            for status, answer in operation["responses"].items()
        ],
    }


def _schema(name: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    required = schema.get("required", ())
    rows = [
        _row(field, about, about.get("description", ""), required=field in required)
        for field, about in schema.get("properties", {}).items()
    ]
    return {"name": name, "description": schema.get("description", ""), "fields": rows, "schema": schema}


def _row(name: str, schema: Mapping[str, Any], description: str, *, required: bool, place: str = "") -> dict[str, Any]:
    return {"name": name, "schema": schema, "description": description, "required": required, "place": place}


def _kind(schema: Mapping[str, Any]) -> Markup:
    """What a value is: `string (date-time)`, `array of string`, a link to another schema."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return Markup('<a href="#schema-{0}">{0}</a>').format(name)
    if "anyOf" in schema:
        return Markup(" or ").join(_kind(choice) for choice in schema["anyOf"])
    if "enum" in schema or "const" in schema:
        values = schema.get("enum", [schema.get("const")])
        return Markup(", ").join(Markup("<code>{}</code>").format(value) for value in values)
    kind = escape(schema.get("type", "any"))
    if "items" in schema:
        return kind + Markup(" of ") + _kind(schema["items"])
    if isinstance(values := schema.get("additionalProperties"), Mapping):
        return kind + Markup(" of ") + _kind(values)
    return kind + (f" ({schema['format']})" if "format" in schema else "")


def _bounds(schema: Mapping[str, Any]) -> str:
    """What bounds a value, in words."""
    inner = [_bounds(choice) for choice in schema.get("anyOf", ()) if choice.get("type") != "null"]
    own = [
        text.format(json.dumps(schema[key], ensure_ascii=False) if key == "default" else schema[key])
        for key, text in _BOUNDS.items()
        if schema.get(key) is not None
    ]
    return ", ".join([*filter(None, inner), *own])


def _codes(text: str) -> Markup:
    """A sentence with what stands between backticks set as code."""
    parts = text.split(_CODE)
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if place % 2 else escape(part) for place, part in enumerate(parts)
    )
