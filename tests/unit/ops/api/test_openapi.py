"""The document says what is enforced."""

import json
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from pydantic import BaseModel, Field

from ops.api.openapi import describe, problems_of
from ops.api.operation import Scope, Success
from ops.api.problems import ProblemType
from tests.fakes.api import nothing, operation
from tests.unit.ops.api.test_request_reader import SHOW

DOCS = Path(__file__).parents[4] / "docs" / "api.md"


class Nested(BaseModel):
    name: str = Field(description="Its name.")


class Answer(BaseModel):
    nested: list[Nested]


NESTED = operation(
    path="/nested",
    name="nested",
    handler=nothing,
    scope=Scope.OPERATE,
    successes=(
        Success(description="It.", model=Answer, headers={"ETag": "Its version."}),
        Success(status=204, description="None."),
    ),
    problems=(ProblemType.NO_JOB,),
)


def _references(value: Any) -> set[str]:
    if isinstance(value, dict):
        own = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
        return own.union(*(_references(inner) for inner in value.values()))
    return set().union(*map(_references, value)) if isinstance(value, list) else set()


def test_every_reference_leads_to_a_valid_schema_and_every_schema_is_used() -> None:
    document = json.loads(json.dumps(describe([SHOW, NESTED])))
    schemas = document["components"]["schemas"]
    assert _references(document) == {f"#/components/schemas/{name}" for name in schemas}
    for schema in schemas.values():
        Draft202012Validator.check_schema(schema)


def test_parameters_stand_where_they_belong_with_their_bounds() -> None:
    parameters = describe([SHOW])["paths"]["/thing/{key}"]["put"]["parameters"]
    by_name = {(each["in"], each["name"]): each for each in parameters}
    assert by_name["path", "key"]["required"] is True
    assert by_name["path", "key"]["schema"]["maxLength"] == 10
    assert by_name["query", "limit"]["schema"] == {
        "type": "integer",
        "minimum": 1,
        "maximum": 100,
        "default": 10,
        "title": "Limit",
    }
    assert by_name["query", "color"]["schema"]["type"] == "array"
    assert by_name["header", "If-Match"]["required"] is False
    assert by_name["header", "If-Match"]["schema"]["type"] == "string"


def test_a_body_has_its_type_and_forbids_unknown_fields() -> None:
    document = describe([SHOW])
    body = document["paths"]["/thing/{key}"]["put"]["requestBody"]
    assert body["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/ThingBody"}
    assert document["components"]["schemas"]["ThingBody"]["additionalProperties"] is False


def test_answers_have_their_headers_and_the_scope_is_named() -> None:
    described = describe([NESTED])["paths"]["/nested"]["get"]
    assert set(described["responses"]["200"]["headers"]) == {"ETag", "X-Request-Id"}
    assert "content" not in described["responses"]["204"]
    assert described["security"] == [{"token": ["operate"]}]
    assert described["responses"]["404"]["content"]["application/problem+json"]["schema"]["properties"]["type"] == {
        "enum": ["/docs/problems#no-job"]
    }


def test_what_is_open_to_all_asks_for_no_token() -> None:
    described = describe([operation(scope=None)])["paths"]["/thing"]["get"]
    assert described["security"] == []
    assert not {"401", "429"} & set(described["responses"])


def test_the_problems_of_an_operation_follow_from_what_it_takes() -> None:
    assert ProblemType.TOO_LARGE in problems_of(SHOW)
    assert ProblemType.TOO_LARGE not in problems_of(NESTED)
    assert ProblemType.NO_ROUTE in problems_of(SHOW)
    assert ProblemType.INVALID in problems_of(operation(scope=None))


def test_the_handbook_explains_every_problem_in_the_words_of_the_api() -> None:
    rows = [line for line in DOCS.read_text().splitlines() if line.startswith("| `")]
    explained = [tuple(cell.strip() for cell in row.strip("|").split("|")) for row in rows]
    expected = [(f"`{each.slug}`", str(each.status), each.title, each.meaning) for each in ProblemType]
    assert [row for row in explained if len(row) == 4] == expected
