"""Tells which changes of a published contract would break a subscriber; pure."""

from collections.abc import Iterator
from typing import Any

Schema = dict[str, Any]

_WORDS = frozenset(("$comment", "$id", "$schema", "description", "examples", "title"))
"""Keywords that only people read."""
_STRUCTURE = frozenset(("$defs", "$ref", "anyOf", "items", "properties", "required"))
"""Keywords that are followed rather than compared."""


def incompatibilities(released: Schema, current: Schema) -> list[str]:
    """Each difference between two contracts that may break a subscriber, with its place; empty when there is none.

    Fields are only ever added, as optional ones. Then a subscriber of old reads the events of today, and a subscriber
    of today the old events that a topic keeps. So all else is named: a field removed, required or no longer required,
    a type, limit, default or set of values that is another, be it narrower or wider. Words may change.

    The schemas are such as pydantic makes; references point into their own `$defs`.
    """
    return list(_Comparison(released, current).differences("", released, current))


class _Comparison:
    """Two schemas, with the definitions that their parts refer to."""

    def __init__(self, released: Schema, current: Schema) -> None:
        self._released = released.get("$defs", {})
        self._current = current.get("$defs", {})

    def differences(self, place: str, released: Schema, current: Schema) -> Iterator[str]:
        released, current = _followed(released, self._released), _followed(current, self._current)
        yield from self._of_keywords(place, released, current)
        yield from self._of_properties(place, released, current)
        if "items" in released or "items" in current:
            yield from self.differences(f"{place}[]", released.get("items", {}), current.get("items", {}))
        before, after = released.get("anyOf", []), current.get("anyOf", [])
        if len(before) != len(after):
            yield f"{_named(place)}: had {len(before)} alternatives, has {len(after)}"
        else:
            for one, other in zip(before, after, strict=True):
                yield from self.differences(place, one, other)

    def _of_keywords(self, place: str, released: Schema, current: Schema) -> Iterator[str]:
        for keyword in sorted((released.keys() | current.keys()) - _WORDS - _STRUCTURE):
            before, after = _comparable(released, keyword), _comparable(current, keyword)
            if before != after:
                yield f"{_named(place)}: {keyword} was {before}, is {after}"

    def _of_properties(self, place: str, released: Schema, current: Schema) -> Iterator[str]:
        before, after = released.get("properties", {}), current.get("properties", {})
        was_required, is_required = released.get("required", ()), current.get("required", ())
        for name in before | after:
            field = f"{place}.{name}".removeprefix(".")
            if name not in after:
                yield f"{field}: removed"
            elif name not in before:
                if name in is_required:
                    yield f"{field}: added as required"
            else:
                if (name in was_required) != (name in is_required):
                    yield f"{field}: {'now' if name in is_required else 'no longer'} required"
                yield from self.differences(field, before[name], after[name])


def _followed(schema: Schema, definitions: dict[str, Schema]) -> Schema:
    """What a reference names, with what stands beside the reference."""
    if "$ref" not in schema:
        return schema
    named = definitions[schema["$ref"].removeprefix("#/$defs/")]
    return _followed(named, definitions) | {key: value for key, value in schema.items() if key != "$ref"}


def _comparable(schema: Schema, keyword: str) -> str:
    value = schema.get(keyword, "not there")
    # The order of an enum's values means nothing.
    return ", ".join(sorted(map(str, value))) if isinstance(value, list) else str(value)


def _named(place: str) -> str:
    return place or "the event"
