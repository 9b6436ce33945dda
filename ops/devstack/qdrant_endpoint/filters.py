"""REST filters as the engine's: the two mirror each other, condition by condition."""

from __future__ import annotations  # the engine has its type aliases for type checkers only

from datetime import date

import qdrant_edge as edge
from qdrant_client.http import models

from ops.devstack.qdrant_endpoint.refusals import not_served, wrong_input

_MAX_POINT_ID = 2**64 - 1


def point_id(value: models.ExtendedPointId) -> edge.PointId:
    """A point's id, checked: an integer of 64 bits without sign, or a UUID (`ValueError` from the engine if not)."""
    if isinstance(value, int) and not 0 <= value <= _MAX_POINT_ID:
        raise wrong_input(f"point id {value} is not an unsigned 64-bit integer")
    return value


def point_ids(values: list[models.ExtendedPointId]) -> list[edge.PointId]:
    """Ids in the order given."""
    return [point_id(value) for value in values]


def optional_filter(given: models.Filter | None) -> edge.Filter | None:
    """The filter, or None where the request has none."""
    return None if given is None else edge_filter(given)


def edge_filter(given: models.Filter) -> edge.Filter:
    """A filter with every condition in it, nested ones too."""
    return edge.Filter(
        must=_conditions(given.must),
        should=_conditions(given.should),
        must_not=_conditions(given.must_not),
        min_should=_min_should(given.min_should),
    )


def _min_should(given: models.MinShould | None) -> edge.MinShould | None:
    if given is None:
        return None
    return edge.MinShould([_condition(part) for part in given.conditions], given.min_count)


def _conditions(given: list[models.Condition] | models.Condition | None) -> list[edge.ConditionType] | None:
    if given is None:
        return None
    return [_condition(part) for part in (given if isinstance(given, list) else [given])]


def _condition(given: models.Condition) -> edge.ConditionType:
    match given:
        case models.FieldCondition():
            return _field_condition(given)
        case models.HasIdCondition():
            return edge.HasIdCondition(set(point_ids(given.has_id)))
        case models.Filter():
            return edge_filter(given)
        case models.IsEmptyCondition():
            return edge.IsEmptyCondition(given.is_empty.key)
        case models.IsNullCondition():
            return edge.IsNullCondition(given.is_null.key)
        case models.HasVectorCondition():
            return edge.HasVectorCondition(given.has_vector)
        case models.NestedCondition():
            return edge.NestedCondition(given.nested.key, edge_filter(given.nested.filter))
        case _:
            raise not_served(f"the filter condition {type(given).__name__}")


def _field_condition(given: models.FieldCondition) -> edge.FieldCondition:
    if given.geo_bounding_box or given.geo_polygon or given.geo_radius:
        raise not_served("a filter by place")
    if not (given.model_fields_set - {"key"}):
        raise wrong_input(f"the condition on {given.key} names no rule")
    return edge.FieldCondition(
        given.key,
        match=_match(given.match),
        range=_range(given.range),
        values_count=_values_count(given.values_count),
        is_empty=given.is_empty,
        is_null=given.is_null,
    )


def _match(given: models.Match | None) -> edge.MatchType | None:
    if given is None:
        return None
    match given:
        case models.MatchValue():
            return edge.MatchValue(given.value)
        case models.MatchAny():
            return edge.MatchAny(given.any)
        case models.MatchExcept():
            return edge.MatchExcept(given.except_)
        case models.MatchText():
            return edge.MatchText(given.text)
        case models.MatchTextAny():
            return edge.MatchTextAny(given.text_any)
        case models.MatchPhrase():
            return edge.MatchPhrase(given.phrase)
        case models.MatchPrefix():
            return edge.MatchPrefix(given.prefix)
        case models.MatchSubstring():
            return edge.MatchSubstring(given.substring)
        case _:
            raise not_served(f"the match {type(given).__name__}")


def _range(given: models.RangeInterface | None) -> edge.RangeType | None:
    if given is None:
        return None
    if isinstance(given, models.DatetimeRange):
        return edge.RangeDateTime(
            gte=_iso(given.gte),
            gt=_iso(given.gt),
            lte=_iso(given.lte),
            lt=_iso(given.lt),
        )
    return edge.RangeFloat(gte=given.gte, gt=given.gt, lte=given.lte, lt=given.lt)


def _iso(given: date | None) -> str | None:
    if given is None:
        return None
    return given.isoformat()


def _values_count(given: models.ValuesCount | None) -> edge.ValuesCount | None:
    if given is None:
        return None
    return edge.ValuesCount(gte=given.gte, gt=given.gt, lte=given.lte, lt=given.lt)
