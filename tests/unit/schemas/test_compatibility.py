"""What of a contract may change, and what may not."""

from copy import deepcopy
from typing import Any

import pytest

from schemas.compatibility import incompatibilities
from schemas.contracts import contracts

RELEASED: dict[str, Any] = {
    "$defs": {"Row": {"type": "object", "properties": {"name": {"type": "string"}, "description": {"type": "string"}}}},
    "type": "object",
    "description": "a change",
    "properties": {
        "id": {"type": "integer", "minimum": 0},
        "kind": {"enum": ["create", "update"], "type": "string"},
        "fields": {"type": "array", "items": {"type": "string"}},
        "note": {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None},
        "after": {"anyOf": [{"$ref": "#/$defs/Row"}, {"type": "null"}]},
    },
    "required": ["id", "kind", "fields", "after"],
}


def changed(*path: str | int, to: Any) -> dict[str, Any]:
    """The released contract with one part of it replaced, or taken away with `...`."""
    schema = deepcopy(RELEASED)
    part: Any = schema
    for step in path[:-1]:
        part = part[step]
    if to is ...:
        del part[path[-1]]
    else:
        part[path[-1]] = to
    return schema


def with_field(required: bool) -> dict[str, Any]:
    schema = changed("properties", "added", to={"type": "string"})
    return schema | {"required": [*RELEASED["required"], "added"]} if required else schema


ALLOWED = {
    "nothing": RELEASED,
    "an optional field added": with_field(required=False),
    "an optional field of a part added": changed("$defs", "Row", "properties", "color", to={"type": "string"}),
    "words changed": changed("description", to="one change"),
    "a description of a field": changed("properties", "id", "description", to="its number"),
    "values in another order": changed("properties", "kind", "enum", to=["update", "create"]),
    "required in another order": changed("required", to=["after", "fields", "kind", "id"]),
    "a definition in place of its reference": changed(
        "properties", "after", "anyOf", 0, to=RELEASED["$defs"]["Row"] | {"title": "Row"}
    ),
}

REFUSED = {
    "a field removed": (changed("properties", "note", to=...), "note: removed"),
    "a field of a part removed": (changed("$defs", "Row", "properties", "name", to=...), "after.name: removed"),
    "a field called like a keyword removed": (
        changed("$defs", "Row", "properties", "description", to=...),
        "after.description: removed",
    ),
    "a required field added": (with_field(required=True), "added: added as required"),
    "an optional field required": (
        changed("required", to=["id", "kind", "fields", "after", "note"]),
        "note: now required",
    ),
    "a required field optional": (changed("required", to=["id", "kind", "fields"]), "after: no longer required"),
    "another type": (changed("properties", "id", "type", to="string"), "id: type was integer, is string"),
    "a limit narrowed": (changed("properties", "id", "minimum", to=1), "id: minimum was 0, is 1"),
    "a limit added": (changed("properties", "id", "maximum", to=9), "id: maximum was not there, is 9"),
    "a limit lifted": (changed("properties", "id", "minimum", to=...), "id: minimum was 0, is not there"),
    "a value removed": (
        changed("properties", "kind", "enum", to=["create"]),
        "kind: enum was create, update, is create",
    ),
    "a value added": (
        changed("properties", "kind", "enum", to=["create", "update", "delete"]),
        "kind: enum was create, update, is create, delete, update",
    ),
    "items of another type": (
        changed("properties", "fields", "items", "type", to="integer"),
        "fields[]: type was string, is integer",
    ),
    "null no longer allowed": (
        changed("properties", "note", "anyOf", to=[{"type": "string"}]),
        "note: had 2 alternatives, has 1",
    ),
    "null allowed": (
        changed("properties", "id", to={"anyOf": [{"type": "integer", "minimum": 0}, {"type": "null"}]}),
        "id: had 0 alternatives, has 2",
    ),
    "an alternative of another type": (
        changed("properties", "note", "anyOf", 0, "type", to="integer"),
        "note: type was string, is integer",
    ),
    "another default": (changed("properties", "note", "default", to="none"), "note: default was None, is none"),
    "closed to further fields": (
        changed("additionalProperties", to=False),
        "the event: additionalProperties was not there, is False",
    ),
}


@pytest.mark.parametrize("current", ALLOWED.values(), ids=ALLOWED)
def test_a_compatible_change_passes(current: dict[str, Any]) -> None:
    assert incompatibilities(RELEASED, current) == []


@pytest.mark.parametrize(("current", "named"), REFUSED.values(), ids=REFUSED)
def test_an_incompatible_change_is_named_with_its_place(current: dict[str, Any], named: str) -> None:
    assert named in incompatibilities(RELEASED, current)


@pytest.mark.parametrize("name", contracts())
def test_a_contract_is_compatible_with_itself_and_not_without_any_of_its_fields(name: str) -> None:
    released = contracts()[name]
    assert incompatibilities(released, deepcopy(released)) == []
    for field in released["properties"]:
        current = deepcopy(released)
        del current["properties"][field]
        assert incompatibilities(released, current) == [f"{field}: removed"]
