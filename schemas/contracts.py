"""What a subscriber may rely on, as JSON Schemas of the published events; `schemas/json/` holds them as files."""

from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema

from schemas.fanout_event import EVENT_MODELS, EventHeaders

HEADERS = "event-headers"
"""The contract of the headers, which every event has."""


class _WithoutTitles(GenerateJsonSchema):
    """Leaves out the titles that pydantic makes of field names: they tell nobody anything."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        """For no field."""
        return False


def contracts() -> dict[str, dict[str, Any]]:
    """JSON Schemas (draft 2020-12) by name: `event-headers`, and the body of each event under its topic's name.

    They are a reader's: a field with a default may be absent, and fields that the schema does not name may be there.
    """
    models: dict[str, type[BaseModel]] = {HEADERS: EventHeaders} | {model.topic: model for model in EVENT_MODELS}
    return {
        name: {
            "$schema": GenerateJsonSchema.schema_dialect,
            "$id": f"urn:lockstep:{name}",
            **model.model_json_schema(schema_generator=_WithoutTitles),
        }
        for name, model in models.items()
    }
