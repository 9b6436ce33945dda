"""All collections of one data directory, and the aliases that name them."""

import logging
import shutil
from collections.abc import Sequence
from pathlib import Path
from threading import Lock
from uuid import uuid4

from qdrant_client.http import models

from ops.devstack.qdrant_endpoint.catalog import (
    Catalog,
    CollectionEntry,
    changed_aliases,
    check_new_name,
    read_catalog,
    write_catalog,
)
from ops.devstack.qdrant_endpoint.collection import Collection
from ops.devstack.qdrant_endpoint.refusals import Refusal, collection_not_found, wrong_input
from ops.devstack.qdrant_endpoint.schema import collection_config, index_schema, updated_config
from schemas.errors import StackError

_CATALOG_FILE = "catalog.json"
_COLLECTIONS_FOLDER = "collections"
_MAX_NAME_LENGTH = 255
_INVALID_NAME_CHARACTERS = frozenset('<>:"/\\|?*\0\x1f')

logger = logging.getLogger(__name__)


class Store:
    """What the endpoint serves. Safe from any thread; the caller holds the directory's lock.

    A change of collections or aliases is on disk, whole, when the call returns; before that no reader sees it.
    """

    def __init__(self, data: Path) -> None:
        """Open a data directory, or begin one. Raises `OSError`, or `StackError` for data that makes no sense."""
        self._catalog_file = data / _CATALOG_FILE
        self._folder = data / _COLLECTIONS_FOLDER
        self._folder.mkdir(parents=True, exist_ok=True)
        self._changes = Lock()
        self.catalog = read_catalog(self._catalog_file)
        self._remove_leftovers()
        self._open = {name: self._load(name, entry) for name, entry in self.catalog.collections.items()}

    def collection(self, name: str) -> Collection:
        """The collection that a name or an alias means now. Raises a 404 `Refusal`."""
        concrete = self.catalog.concrete_name(name)
        try:
            return self._open[concrete]
        except KeyError as error:  # deleted in between
            raise collection_not_found(name) from error

    def create(self, name: str, given: models.CreateCollection) -> None:
        """Make an empty collection."""
        _check_name(name)
        with self._changes:
            check_new_name(self.catalog, name)
            entry = CollectionEntry(folder=uuid4().hex, config=collection_config(given))
            created = Collection.create(name, entry, self._folder / entry.folder)
            # Until the catalog names it, the folder is a leftover that the next start removes.
            self._save(self.catalog.with_collection(name, entry))
            self._open[name] = created

    def update(self, name: str, given: models.UpdateCollection) -> None:
        """Change a collection's metadata, or the settings that readers see."""
        with self._changes:
            collection = self.collection(name)
            config = updated_config(collection.entry.config, given)
            self._save_entry(collection, collection.entry.model_copy(update={"config": config}))

    def delete(self, name: str) -> bool:
        """Remove a collection and the aliases that name it; False if there is none of that name."""
        with self._changes:
            if name not in self.catalog.collections:
                return False
            self._save(self.catalog.without_collection(name))
            removed = self._open.pop(name)
            removed.close()
            shutil.rmtree(self._folder / removed.entry.folder)
            return True

    def create_index(self, name: str, field: str, schema: models.PayloadFieldSchema) -> None:
        """Index a payload key of all points, present and to come."""
        params = index_schema(schema)
        with self._changes:
            collection = self.collection(name)
            collection.create_index(field, params)
            indexes = {**collection.entry.payload_indexes, field: schema}
            self._save_entry(collection, collection.entry.model_copy(update={"payload_indexes": indexes}))

    def delete_index(self, name: str, field: str) -> None:
        """Forget the index of a payload key; one that does not exist is no error."""
        with self._changes:
            collection = self.collection(name)
            indexes = {key: value for key, value in collection.entry.payload_indexes.items() if key != field}
            self._save_entry(collection, collection.entry.model_copy(update={"payload_indexes": indexes}))
            collection.delete_index(field)

    def change_aliases(self, actions: Sequence[models.AliasOperations]) -> None:
        """Carry out all actions in one step, or none."""
        with self._changes:
            self._save(self.catalog.with_aliases(changed_aliases(self.catalog, actions)))

    def flush(self) -> None:
        """Flush each collection that was written to; one that cannot is logged and tried again next time."""
        with self._changes:  # none is created or deleted in between
            for collection in self._open.values():
                try:
                    collection.flush()
                except Refusal:
                    logger.exception("collection not flushed", extra={"where": collection.name})

    def close(self) -> None:
        """Flush and close everything."""
        for collection in self._open.values():
            collection.close()

    def _load(self, name: str, entry: CollectionEntry) -> Collection:
        try:
            return Collection.load(name, entry, self._folder / entry.folder)
        except Refusal as error:
            raise StackError(f"cannot open collection {name} in {self._folder / entry.folder}: {error}") from error

    def _save(self, catalog: Catalog) -> None:
        write_catalog(self._catalog_file, catalog)
        self.catalog = catalog

    def _save_entry(self, collection: Collection, entry: CollectionEntry) -> None:
        self._save(self.catalog.with_collection(collection.name, entry))
        collection.entry = entry

    def _remove_leftovers(self) -> None:
        """Folders of a collection whose creation or deletion the process did not live to finish."""
        kept = {entry.folder for entry in self.catalog.collections.values()}
        for folder in self._folder.iterdir():
            if folder.name not in kept:
                shutil.rmtree(folder)


def _check_name(name: str) -> None:
    if not 1 <= len(name) <= _MAX_NAME_LENGTH:
        raise wrong_input(f"collection name must be 1 to {_MAX_NAME_LENGTH} characters long")
    for character in name:
        if character in _INVALID_NAME_CHARACTERS:
            raise wrong_input(f'collection name cannot contain "{character}" char')
