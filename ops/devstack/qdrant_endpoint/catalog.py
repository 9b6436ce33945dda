"""The durable list of collections and aliases: one file, replaced whole."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from qdrant_client.http import models

from ops.devstack.qdrant_endpoint.refusals import already_exists, collection_not_found, not_found, wrong_input
from schemas.errors import StackError


class CollectionEntry(BaseModel):
    """One collection: where its engine keeps its files, and what the engine does not keep for it."""

    model_config = ConfigDict(frozen=True)

    folder: str
    config: models.CollectionConfig
    payload_indexes: dict[str, models.PayloadFieldSchema] = Field(default_factory=dict)


class Catalog(BaseModel):
    """Collections by name, and the collection behind each alias. A value: a change makes a new one."""

    model_config = ConfigDict(frozen=True)

    collections: dict[str, CollectionEntry] = Field(default_factory=dict)
    aliases: dict[str, str] = Field(default_factory=dict)

    def concrete_name(self, name: str) -> str:
        """The collection that a name means, directly or as an alias. Raises a 404 `Refusal`."""
        concrete = self.aliases.get(name, name)
        if concrete not in self.collections:
            raise collection_not_found(name)
        return concrete

    def with_collection(self, name: str, entry: CollectionEntry) -> "Catalog":
        """The catalog with this collection added or replaced."""
        return self.model_copy(update={"collections": {**self.collections, name: entry}})

    def without_collection(self, name: str) -> "Catalog":
        """The catalog without this collection and the aliases that named it."""
        return Catalog(
            collections={key: entry for key, entry in self.collections.items() if key != name},
            aliases={alias: target for alias, target in self.aliases.items() if target != name},
        )

    def with_aliases(self, aliases: Mapping[str, str]) -> "Catalog":
        """The catalog with these aliases and no others."""
        return self.model_copy(update={"aliases": dict(aliases)})


def check_new_name(catalog: Catalog, name: str) -> None:
    """Refuse a name that a collection or an alias has."""
    if name in catalog.collections:
        raise already_exists(f"Collection `{name}` already exists!")
    if name in catalog.aliases:
        raise wrong_input(f"Can't create collection with name {name}. Alias with the same name already exists")


def changed_aliases(catalog: Catalog, actions: Sequence[models.AliasOperations]) -> dict[str, str]:
    """The aliases after all actions, in order: all of them or, with a `Refusal`, none.

    Creating an alias that exists moves it. Deleting one that does not is no error.
    """
    aliases = dict(catalog.aliases)
    for action in actions:
        match action:
            case models.CreateAliasOperation(create_alias=create):
                if create.collection_name not in catalog.collections:
                    raise collection_not_found(create.collection_name)
                _check_alias_name(catalog, create.alias_name)
                aliases[create.alias_name] = create.collection_name
            case models.DeleteAliasOperation(delete_alias=delete):
                aliases.pop(delete.alias_name, None)
            case models.RenameAliasOperation(rename_alias=rename):
                if rename.old_alias_name not in aliases:
                    raise not_found(f"Alias {rename.old_alias_name} does not exists!")
                _check_alias_name(catalog, rename.new_alias_name)
                aliases[rename.new_alias_name] = aliases.pop(rename.old_alias_name)
    return aliases


def _check_alias_name(catalog: Catalog, alias: str) -> None:
    if not alias:
        raise wrong_input("an alias needs a name")
    if alias in catalog.collections:
        raise already_exists(f"Collection `{alias}` already exists!")


def read_catalog(path: Path) -> Catalog:
    """The catalog of a data directory; empty where none was ever written. Raises `StackError` for a damaged one."""
    if not path.exists():
        return Catalog()
    try:
        return Catalog.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise StackError(f"cannot read the catalog {path}: {error.errors()[0]['msg']}") from error


def write_catalog(path: Path, catalog: Catalog) -> None:
    """Replace the file in one step: after a crash it holds the old catalog or the new one, whole and on disk."""
    draft = path.with_suffix(".new")
    with draft.open("wb") as file:
        file.write(catalog.model_dump_json(by_alias=True, exclude_none=True).encode())
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
