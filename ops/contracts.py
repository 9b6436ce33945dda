"""Writes `schemas/json/`: the contracts of the fan-out events as files, and `asyncapi.yaml` around them.

Run `python -m ops.contracts` after a change of the event models; a test fails while the files are stale. With
`--release` the contracts are also written to `schemas/json/released/`, which is what subscribers hold us to: not if
one of them would break.
"""

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

import schemas
from schemas.compatibility import Schema, incompatibilities
from schemas.contracts import HEADERS, contracts
from schemas.fanout_event import EVENT_MODELS, TYPE_PREFIX, EventData
from streams.topics import DECLARATIONS, TopicDeclaration

DIRECTORY = Path(schemas.__file__).parent / "json"
RELEASED = DIRECTORY / "released"
ASYNCAPI = "asyncapi.yaml"

_DECLARED = {declared.name: declared for declared in DECLARATIONS}
_BINDING_SETTINGS: dict[str, Callable[[str], Any]] = {
    "cleanup.policy": lambda value: value.split(","),
    "retention.ms": int,
    "max.message.bytes": int,
}
"""The topic settings that AsyncAPI's Kafka binding knows, and their types there."""


def files() -> dict[str, str]:
    """The text of every generated file, by its name in `DIRECTORY`."""
    return {**contract_files(), ASYNCAPI: yaml.safe_dump(asyncapi(), sort_keys=False, allow_unicode=True, width=120)}


def contract_files() -> dict[str, str]:
    """The contracts alone."""
    return {f"{name}.json": json.dumps(schema, indent=2) + "\n" for name, schema in contracts().items()}


def asyncapi() -> dict[str, Any]:
    """The AsyncAPI 3.0 document: where to find the events, and what they look like."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Lockstep: changes of products",
            "version": "1.0.0",
            "description": "What the worker publishes about the rows of the table products. Events are CloudEvents "
            "1.0 in Kafka's binary mode. At least once, in order per key; a repeat has the same ce_id. "
            "See docs/events.md.",
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": {_id(model): _channel(model, _DECLARED[model.topic]) for model in EVENT_MODELS},
        "operations": {
            f"publish{model.__name__}": {
                "action": "send",
                "summary": _summary(model),
                "channel": {"$ref": f"#/channels/{_id(model)}"},
                "messages": [{"$ref": f"#/channels/{_id(model)}/messages/{model.__name__}"}],
            }
            for model in EVENT_MODELS
        },
        "components": {"messages": {model.__name__: _message(model) for model in EVENT_MODELS}},
    }


def _channel(model: type[EventData], declared: TopicDeclaration) -> dict[str, Any]:
    return {
        "address": model.topic,
        "description": _summary(model),
        "messages": {model.__name__: {"$ref": f"#/components/messages/{model.__name__}"}},
        "bindings": {
            "kafka": {
                "topic": model.topic,
                "partitions": declared.partitions,
                "topicConfiguration": {
                    setting: as_type(declared.config[setting])
                    for setting, as_type in _BINDING_SETTINGS.items()
                    if setting in declared.config
                },
                "bindingVersion": "0.5.0",
            }
        },
    }


def _message(model: type[EventData]) -> dict[str, Any]:
    return {
        "name": TYPE_PREFIX + model.topic,
        "summary": _summary(model),
        "contentType": "application/json",
        "headers": {"$ref": f"./{HEADERS}.json"},
        "payload": {"$ref": f"./{model.topic}.json"},
        "bindings": {"kafka": {"key": {"type": "string", "description": "The article_id."}, "bindingVersion": "0.5.0"}},
    }


def _id(model: type[EventData]) -> str:
    """A name that may stand in a reference: a dot of the topic's would be right too, but tools stumble over it."""
    return model.topic.replace(".", "-")


def _summary(model: type[EventData]) -> str:
    return (model.__doc__ or "").strip()


def write(directory: Path, texts: dict[str, str]) -> None:
    """Make the directory hold these files, and no other contract."""
    directory.mkdir(exist_ok=True)
    for stale in {path.name for path in directory.glob("*.json")} - texts.keys():
        (directory / stale).unlink()
    for name, text in texts.items():
        (directory / name).write_text(text)


def broken(released: Path, current: Mapping[str, Schema]) -> list[str]:
    """What of the released contracts the present ones break; empty when they may be released."""
    found = []
    for path in sorted(released.glob("*.json")):
        if path.stem not in current:
            found.append(f"{path.stem}: taken away, while its topic keeps its events")
        else:
            differences = incompatibilities(json.loads(path.read_text()), current[path.stem])
            found += [f"{path.stem}: {difference}" for difference in differences]
    return found


if __name__ == "__main__":
    write(DIRECTORY, files())
    if "--release" in sys.argv[1:]:
        if problems := broken(RELEASED, contracts()):
            sys.exit(
                "\n".join(["not released: subscribers would break; publish another version of the topic", *problems])
            )
        write(RELEASED, contract_files())
