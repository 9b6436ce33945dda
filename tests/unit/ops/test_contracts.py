"""The published contracts: the files are those of the models, and hold what was released."""

from typing import Any

from ops.contracts import ASYNCAPI, DIRECTORY, RELEASED, asyncapi, broken, contract_files, files, write
from schemas.contracts import HEADERS, contracts
from schemas.fanout_event import EVENT_MODELS
from streams.topics import EVENTS


def test_the_files_are_those_of_the_models() -> None:
    published = {path.name: path.read_text() for path in DIRECTORY.iterdir() if path.is_file()}
    assert published == files(), "run python -m ops.contracts"


def test_released_contracts_are_kept() -> None:
    assert broken(RELEASED, contracts()) == []


def test_release_that_breaks_a_subscriber_is_refused(tmp_path: Any) -> None:
    write(tmp_path, contract_files())
    assert broken(tmp_path, contracts()) == []
    [first, second, *rest] = contracts().items()
    narrowed = {**second[1], "properties": {}}
    found = broken(tmp_path, dict([(second[0], narrowed), *rest]))
    assert found[0] == f"{first[0]}: taken away, while its topic keeps its events"
    assert all(problem.startswith(f"{second[0]}: ") and problem.endswith("removed") for problem in found[1:])
    assert len(found) > 1


def test_every_contract_is_released() -> None:
    assert {path.stem for path in RELEASED.iterdir()} == {HEADERS, *EVENTS}, "run python -m ops.contracts --release"


def test_asyncapi_describes_every_event_and_all_its_references_lead_somewhere() -> None:
    document = asyncapi()
    assert [channel["address"] for channel in document["channels"].values()] == list(EVENTS)
    assert len(document["operations"]) == len(EVENT_MODELS)
    for reference in _references(document):
        if reference.startswith("#/"):
            part: Any = document
            for step in reference.removeprefix("#/").split("/"):
                part = part[step]
        else:
            assert (DIRECTORY / reference).is_file()


def test_writing_removes_a_contract_that_is_no_more(tmp_path: Any) -> None:
    (tmp_path / "products.gone.v1.json").write_text("{}")
    write(tmp_path, files())
    assert {path.name for path in tmp_path.iterdir()} == {f"{name}.json" for name in contracts()} | {ASYNCAPI}


def _references(part: Any) -> list[str]:
    if isinstance(part, dict):
        return [value for key, value in part.items() if key == "$ref"] + [
            found for value in part.values() for found in _references(value)
        ]
    return [found for item in part for found in _references(item)] if isinstance(part, list) else []
